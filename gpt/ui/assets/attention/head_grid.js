// A button for each head and each layer, to choose several. It follows the selected head until a person chooses here, and again after
// `reset`. changed() is called after each choice.
gpt.headGrid = function (explorer, changed) {
    const element = gpt.make("div", "gpt-scroll"), chosen = new Set();
    let followsSelection = true, shape = "", place = [0, 0], buttons = [];  // rows of buttons, each with its layer's first
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", "Heads to take out. Arrow keys move, Enter chooses.");

    const choose = (change) => {
        followsSelection = false;
        change();
        draw();
        changed();
    };
    const draw = () => {
        for (const [layer, ...heads] of buttons) {
            for (const button of heads) button.setAttribute("aria-pressed", String(chosen.has(button.dataset.head)));
            layer.setAttribute("aria-pressed", String(heads.every((button) => chosen.has(button.dataset.head))));
        }
        buttons.forEach((row, y) => row.forEach((button, x) => { button.tabIndex = y === place[0] && x === place[1] ? 0 : -1; }));
        reset.hidden = followsSelection;
    };
    const show = () => {
        const { layers, heads } = explorer.value.mosaic.layout.meta;
        if (shape !== `${layers} ${heads}`) {
            shape = `${layers} ${heads}`;
            followsSelection = true;
            place = [0, 0];
            buttons = gpt.headButtons(layers, heads, chosen, choose);
            element.replaceChildren(...buttons.map((row) => gpt.wrap("div", "gpt-take-row", ...row)));
        }
        if (followsSelection) {
            chosen.clear();
            chosen.add(`${explorer.selected.layer},${explorer.selected.head}`);
        }
        draw();
    };
    const reset = gpt.button("Only the selected head", () => {
        followsSelection = true;
        show();
        changed();
    });
    gpt.onArrowKey(element, (dx, dy) => buttons[place[0] + dy]?.[place[1] + dx]?.focus());
    element.addEventListener("focusin", (event) => {
        const y = buttons.findIndex((row) => row.includes(event.target));
        if (y < 0) return;
        place = [y, buttons[y].indexOf(event.target)];
        draw();
    });
    return { element, reset, show, heads: () => [...chosen].map((name) => name.split(",").map(Number)) };
};

// Rows of buttons, a layer each. A press changes the set `chosen` of names "layer,head" within choose(change).
gpt.headButtons = function (layers, heads, chosen, choose) {
    return Array.from({ length: layers }, (_, layer) => {
        const names = Array.from({ length: heads }, (_, head) => `${layer},${head}`);
        const whole = gpt.button(`layer ${layer}`, () => {
            const all = names.every((name) => chosen.has(name));
            choose(() => names.forEach((name) => all ? chosen.delete(name) : chosen.add(name)));
        }, "gpt-take-layer");
        whole.setAttribute("aria-label", `all of layer ${layer}`);
        return [whole, ...names.map((name, head) => {
            const button = gpt.button(String(head), () => choose(() => chosen.delete(name) || chosen.add(name)), "gpt-take");
            button.setAttribute("aria-label", `layer ${layer} head ${head}`);
            button.dataset.head = name;
            return button;
        })];
    });
};
