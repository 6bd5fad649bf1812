// What surrounds the settings of the Train tab: sliders for the useful part of a number, marks of what differs from the preset, a button
// that takes each difference back, and the search through all settings.

gpt.LONGEST_WAIT = 5000;                                             // ms for the form to come back, before it may be filled anew

// choices: {fields: [{name, help, stops: the values at which its slider stops}], presets: {name: {sentence, values: of each field}}}
gpt.views.settings = function (element, props, { trigger, server, choices }) {
    const form = element.closest(".gpt-form");
    let shown = null;                                                // {preset, run, values} that were shown last
    let lastComplete = null;                                         // the same, when the values were last those of the preset that is chosen
    const differing = () => choices.fields.map(({ name }, i) => [name, shown.values[i], choices.presets[shown.preset]?.values[i]])
        .filter(([, value, usual]) => value !== usual);
    // A run to go on from is no preset that the page has known from the beginning: ask what it says, once, and show it then.
    const requested = new Set();
    const learn = async (preset) => {
        if (requested.has(preset)) return;
        requested.add(preset);
        try {
            const base = await server.base(preset);
            if (!base.values) return;
            choices.presets[preset] = base;
            trigger("select");
        } finally {
            requested.delete(preset);                                // the next change asks again, if there was no answer
        }
    };
    const draw = () => {
        if (!shown) return;
        document.getElementById("preset").title = choices.presets[shown.preset]?.sentence ?? "";
        const changed = new Set(differing().map(([name]) => name));
        choices.fields.forEach((field, i) => {
            const block = document.getElementById(`setting-${field.name}`);
            if (block) gpt.decorateSetting(block, field, shown.values[i], changed.has(field.name), gpt.settings.reset);
        });
        document.querySelectorAll(".gpt-changed-settings").forEach((place) => place.update?.([...changed].filter((name) => name !== "corpus")));
    };
    gpt.settings = {
        draw, presets: choices.presets, toReset: "", isRestored: false,
        // Returns what the browser keeps of the form: nothing new until it has been filled with what was kept.
        show(saved, preset, run, ...values) {
            shown = { preset, run, values };
            if (preset && !choices.presets[preset]) {
                learn(preset);
                return saved;
            }
            draw();
            const isHalfway = lastComplete && lastComplete.preset !== preset && values.every((value, i) => value === lastComplete.values[i]) && differing().length > 0;
            if (isHalfway) return saved;                             // a preset was chosen, and its values are still to come
            lastComplete = shown;
            gpt.link.tell("train", { preset, ...Object.fromEntries(differing().map(([name, value]) => [name, ["corpus", "validation"].includes(name) ? gpt.baseName(value) : value])) });
            return gpt.settings.isRestored ? { preset, run, ...Object.fromEntries(differing().map(([name, value]) => [name, value])) } : saved;
        },
        // The form has been filled.
        restored(...inputs) {
            restore();
            return gpt.settings.show(...inputs);
        },
        // It could not be filled: what the browser keeps stays as it is until a person changes something.
        failed(saved) {
            restore();
            return saved;
        },
        reset(name) {
            gpt.settings.toReset = name;
            trigger("click");
            document.querySelector(`#setting-${name} input`)?.focus();  // the button goes away
        },
    };
    const allowInput = () => {
        if (form) form.inert = false;
    };
    const restore = () => {
        gpt.settings.isRestored = true;
        gpt.link.begin(allowInput);                                 // which may fill it once more
    };
    if (form) form.inert = true;
    setTimeout(allowInput, gpt.LONGEST_WAIT);
    // "All settings" are put into the page when they are opened first.
    new MutationObserver(() => requestAnimationFrame(draw)).observe(form ?? document.body, { childList: true, subtree: true });
};

// Complete a control of Gradio's: its sentence on hover, its slider, its mark. Called whenever anything has changed.
gpt.decorateSetting = function (block, { name, help, stops }, value, isChanged, reset) {
    const number = block.querySelector("input[type=number]"), label = block.querySelector("[data-testid=block-info]") ?? block.querySelector("label span");
    block.classList.toggle("gpt-changed", isChanged);
    if (!block.querySelector(".gpt-reset") && label) {
        const back = gpt.button("↺", () => reset(name), "gpt-reset");
        back.title = back.ariaLabel = `reset ${name}`;
        label.after(back);
        block.title = help;
        if (number) gpt.completeNumber(block, number, name);
        if (stops.length && number) block.append(gpt.stopsSlider(name, stops, number));
    }
    const slider = block.querySelector("input[type=range]");
    if (slider) gpt.showStop(slider, stops, value);
};

// The label of a number is for its box, and not for the button inside the label; its sentence describes it; arrow keys count their steps
// from 0, not from the lowest value that is allowed.
gpt.completeNumber = function (block, number, name) {
    const label = block.querySelector("label"), sentence = block.querySelector(".info-text");
    number.id = `number-of-${name}`;
    number.removeAttribute("min");
    if (label) label.htmlFor = number.id;
    if (!sentence) return;
    sentence.id = `sentence-of-${name}`;
    number.setAttribute("aria-describedby", sentence.id);
};

// A slider over `stops` that types into the box `number`.
gpt.stopsSlider = function (name, stops, number) {
    const slider = Object.assign(gpt.make("input"), { type: "range", min: 0, max: stops.length - 1, step: 1, ariaLabel: `slider of ${name}` });
    slider.oninput = () => {
        gpt.type(number, stops[slider.value]);
        gpt.showStop(slider, stops, stops[slider.value]);
    };
    return slider;
};

gpt.showStop = function (slider, stops, value) {
    if (!Number.isFinite(value)) return;                            // an empty box
    const near = stops.reduce((best, stop, i) => (Math.abs(stop - value) < Math.abs(stops[best] - value) ? i : best), 0);
    if (document.activeElement !== slider || stops[slider.value] !== stops[near]) slider.value = near;
    slider.setAttribute("aria-valuetext", value);
};

// Give a box of Gradio's a value as if a person had typed it.
gpt.type = function (input, value) {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(input, String(value));
    input.dispatchEvent(new Event("input", { bubbles: true }));
};

// The line above all settings: a search, and how many differ from the preset.
gpt.views.search = function (element) {
    const search = Object.assign(gpt.make("input", "gpt-search"), { type: "search", placeholder: "Search the settings", ariaLabel: "search the settings" });
    const count = gpt.make("span"), all = gpt.button("Reset all", () => gpt.settings.reset("all settings"));
    const changed = gpt.wrap("span", "gpt-changed-settings gpt-small", count, " ", all), none = gpt.live(gpt.make("p", "gpt-small"));
    changed.update = (names) => {
        const text = names.length ? `${names.length} changed: ${names.join(", ")}.` : "All as in the preset.";
        if (count.textContent !== text) count.textContent = text;   // a change of the form is drawn again, also this one
        all.hidden = !names.length;
    };
    search.oninput = () => {
        const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
        const settings = [...document.querySelectorAll("#all-settings .gpt-setting")];
        for (const setting of settings) {
            const text = setting.textContent.toLowerCase();
            setting.classList.toggle("gpt-unmatched", !words.every((word) => text.includes(word)));
        }
        document.getElementById("all-settings")?.classList.toggle("gpt-searched", words.length > 0);
        none.textContent = settings.some((setting) => !setting.matches(".gpt-unmatched")) ? "" : "No setting found here. The sliders above are not searched.";
    };
    element.replaceChildren(search, changed, none);
    gpt.settings?.draw();
};
