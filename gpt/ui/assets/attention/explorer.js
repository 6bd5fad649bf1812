// The Attention tab: all heads as a mosaic, the selected one large, a sentence in words under both, and panels of further questions.
//
// `explorer` is what the parts of the tab share: the inspection that is shown (`value`), the selected head and token (`selected`), and the
// ways to change both. mosaic.js, head.js, film.js, roles.js and each panel are given it.

// value: {number, key, run, weights, step, film, tokens: [label], mosaic: figure, note, next: [[label, probability]], error}
gpt.views.explorer = function (element, props, { watch, trigger, server, choices }) {
    const parts = gpt.explorerParts(element);
    const explorer = { choices, title: parts.title, value: null, selected: { layer: 0, head: 0, query: 0 }, isChosen: false };
    explorer.ask = gpt.explorerRequests(explorer, server, parts.error);
    explorer.mosaic = gpt.mosaicPane(parts.left, explorer);
    parts.left.append(parts.key);
    explorer.roles = gpt.rolesOf(explorer);
    explorer.head = gpt.headPane({ pane: parts.right, row: parts.row }, explorer);
    explorer.prompted = gpt.promptStrip(parts.words, explorer);
    explorer.film = gpt.film(parts.film, explorer, (step) => trigger("click", { run: explorer.value.run, step }));
    explorer.panels = gpt.panelTabs(parts.tabs, parts.room, explorer);

    // Describe the selected head: its role, what it does on this prompt, and what the model loses without it.
    explorer.describe = () => {
        const { layer, head } = explorer.selected;
        const role = explorer.roles.of(layer, head)?.sentence, effect = explorer.effects?.[`${layer},${head}`];
        const without = effect === undefined ? "" : `Without it the loss ${effect < 0 ? "falls" : "rises"} by ${Math.abs(effect).toFixed(3)} nats.`;
        const habit = explorer.habit && (role ? `On this prompt it ${explorer.habit}` : `On this prompt layer ${layer} head ${head} ${explorer.habit}`);
        parts.sentence.textContent = [role, without, habit].filter(Boolean).join(" ");
    };

    // Select a head, and the token whose row is shown; what is not named stays. Resolves when all is drawn.
    explorer.select = (change) => {
        explorer.isChosen ||= "layer" in change;
        const { layers, heads } = explorer.value.mosaic.layout.meta, wanted = { ...explorer.selected, ...change };
        explorer.selected = { layer: gpt.clamp(wanted.layer, layers), head: gpt.clamp(wanted.head, heads),
                              query: gpt.clamp(wanted.query, explorer.value.tokens.length) };
        explorer.mosaic.frame();
        explorer.tell();
        return Promise.all([explorer.head.select(), explorer.prompted.select(), explorer.panels.select()]);
    };

    // Show another frame of the same tokens, in place: every head stays where it is, and its old map stays until the new one is known.
    explorer.draw = async (value) => {
        const { places, marks, ordered } = explorer.mosaic.figure.layout.meta;
        explorer.value = value;
        explorer.effects = null;
        const figure = ordered ? (await explorer.ask("mosaic", { order: places }))?.mosaic : value.mosaic;
        if (!figure || explorer.value !== value) return;
        figure.layout.meta.marks = marks;
        explorer.mosaic.figure = figure;
        explorer.film.describe();
        parts.showNext(value.next);
        explorer.mosaic.frame();
        explorer.tell();
        await Promise.all([explorer.roles.follow(), explorer.head.select(), explorer.prompted.select(), explorer.panels.show()]);
    };

    Object.assign(explorer, gpt.explorerPlace(explorer));
    gpt.showInspections(explorer, parts, props, watch);
};

// The elements of the tab, and a way to show the likeliest next tokens.
gpt.explorerParts = function (element) {
    const make = gpt.make, parts = {
        error: make("p", "gpt-error"), note: make("p", "gpt-small"), film: make("div", "gpt-film"), left: make("div", "gpt-mosaic"),
        right: make("div", "gpt-head"), sentence: gpt.live(make("p", "gpt-sentence")), next: make("p", "gpt-small"), words: make("div"),
        row: make("div", "gpt-row"), copy: gpt.wrap("p", "gpt-copy", gpt.copyLink()), tabs: make("div", "gpt-tabs"), room: make("div", "gpt-panel"),
        title: gpt.wrap("div", "gpt-title", make("span", "", "All heads")),
        key: make("p", "gpt-small", "A letter and a share say what a head mostly does; paler heads have no clear role. Which ones matter to the loss: "
            + "What it does, Try every head."),
    };
    parts.title.title = "Bright is what a head reads more of than an even spread would; heads without a clear role are paler.";
    parts.left.append(parts.title);
    parts.panes = gpt.wrap("div", "gpt-panes", parts.left, parts.right);
    parts.below = gpt.wrap("div", "gpt-panes", parts.words, parts.row);
    parts.showNext = (tokens) => parts.next.replaceChildren("Next token: ", ...tokens.flatMap(([label, probability], i) =>
        [i ? ", " : "", make("code", "", label), ` ${(100 * probability).toFixed(probability < 0.01 ? 2 : 0)} %`]));
    element.replaceChildren(parts.error, parts.note, parts.film, parts.panes, parts.sentence, parts.next, parts.below, parts.copy, parts.tabs, parts.room);
    return parts;
};

// ask(name, request, wanted): the answer of a server function for the inspection that is shown. Undefined after an error, which is shown at
// the top, or if wanted() has become false; without `wanted`, if another inspection is shown by then.
gpt.explorerRequests = function (explorer, server, error) {
    return async (name, request, wanted) => {
        const key = explorer.value?.key;
        const answer = await server[name]({ ...request, key });                 // undefined if the server does not answer
        if (!(wanted ? wanted() : key === explorer.value?.key)) return undefined;
        gpt.showError(error, answer ? answer.error || "" : "The page has lost its server: start python demo.py again.");
        return answer?.error ? undefined : answer;
    };
};

// The name of a file of what is shown: the run, its weights, and `what`.
gpt.inspectionName = ({ value: { run, step } }, what) => [run, step === null ? "best" : `step ${step}`, what].join(" ");
gpt.headName = (explorer, what) => gpt.inspectionName(explorer, `layer ${explorer.selected.layer} head ${explorer.selected.head} ${what}`);

// Show every new inspection from Python; an answer older than the one that is shown is ignored.
gpt.showInspections = function (explorer, parts, props, watch) {
    let shownRequest = null;                                                    // of gpt.replay, when the value was shown
    const show = gpt.inOrder(({ number }) => number, (value) => {
        if (gpt.replay.request && value.mosaic && !value.replayed) return;      // requested before a step was
        const same = explorer.value?.tokens && value.tokens && explorer.value.tokens.join("\n") === value.tokens.join("\n");
        const again = same && shownRequest === gpt.replay.request;
        shownRequest = gpt.replay.request;
        if (explorer.value?.run !== value.run) explorer.isChosen = false;       // of another run another head may be worth a first look
        Object.assign(explorer, { value, prompt: value.prompt ?? null });
        parts.error.textContent = value.error || "";
        parts.note.textContent = value.note || "";
        for (const part of ["film", "panes", "below", "copy", "tabs", "room"]) parts[part].hidden = !value.mosaic;
        if (!again) {
            parts.sentence.textContent = explorer.habit = "";
            parts.next.replaceChildren();
        }
        explorer.head.clear();
        explorer.prompted.drop();
        const wanted = gpt.link.take(value.number);
        if (!value.mosaic) return;
        if (!again || wanted) explorer.selected.query = value.tokens.length - 1;
        explorer.effects = null;                                                // of other weights
        explorer.film.begin(value);
        explorer.film.describe();
        parts.showNext(value.next);
        explorer.mosaic.figure = value.mosaic;
        if (wanted) explorer.follow(wanted);
        explorer.select({});
        explorer.mosaic.show(value.mosaic);
        explorer.roles.show();
        if (!wanted?.panel || !explorer.panels.open(wanted.panel)) explorer.panels.show();
    });
    const update = () => show(props.value || { note: "The heads of the chosen run appear here." });
    watch("value", update);
    update();
};
