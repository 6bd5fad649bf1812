// The Attention tab: all heads as a mosaic, the selected one large, a sentence in words under both.

// {key, scales: [name], mosaic: figure, note, next: [[label, probability]], error}; server.head({key, layer, head, scale}) -> {figure, sentence}
gpt.views.explorer = function (element, props, { watch, server }) {
    const error = gpt.make("p", "gpt-error"), note = gpt.make("p", "gpt-small");
    const panes = gpt.make("div", "gpt-panes"), left = gpt.make("div", "gpt-mosaic"), right = gpt.make("div", "gpt-head");
    const title = gpt.make("div", "gpt-title"), name = gpt.make("span"), sentence = gpt.make("p", "gpt-sentence"), next = gpt.make("p", "gpt-small");
    const reading = gpt.make("p", "gpt-reading"), option = gpt.make("label", "gpt-option"), scale = gpt.make("select");
    option.append("colour scale ", scale);
    left.tabIndex = 0;
    left.setAttribute("aria-label", "All heads. Arrow keys choose one.");
    sentence.setAttribute("role", "status");
    title.append(name, option);
    left.append(gpt.make("div", "gpt-title", "All heads"));
    right.append(title);
    panes.append(left, right);
    element.replaceChildren(error, note, panes, reading, sentence, next);
    const mosaic = gpt.plot(left, { aspect: 1.25, label: "attention of all heads" });
    const map = gpt.plot(right, { aspect: 1.25, label: "attention of the selected head" });
    let selected = { layer: 0, head: 0 }, asked = 0;

    const grid = () => props.value.mosaic.layout.meta;

    const select = async (layer, head) => {
        const { layers, heads, pitch, size } = grid();
        selected = { layer: Math.min(Math.max(layer, 0), layers - 1), head: Math.min(Math.max(head, 0), heads - 1) };
        const x = selected.head * pitch - 1, y = selected.layer * pitch - 1;
        mosaic.figure.layout.shapes = [{ type: "rect", x0: x, x1: x + size + 1, y0: y, y1: y + size + 1,
                                         line: { color: "var(--gpt-amber)", width: 3 } }];
        mosaic.draw();
        const mine = ++asked;
        name.textContent = `Layer ${selected.layer}, head ${selected.head}`;
        const answer = await server.head({ key: props.value.key, ...selected, scale: scale.value });   // undefined if it does not answer
        if (mine !== asked) return;                                 // another head was chosen meanwhile
        error.textContent = answer ? answer.error || "" : "The page has lost its server: start python demo.py again.";
        if (answer?.figure) map.show(answer.figure);
        sentence.textContent = answer?.sentence || "";
        element.dataset.shown = `${selected.layer},${selected.head}`;
    };

    // As many token labels as fit without touching; they are text, and Plotly reads tags: escape them for the axes.
    map.fit = (layout, width) => {
        const { labels } = layout.meta, every = Math.ceil(labels.length * 14 / (0.62 * width));
        const shown = labels.map((_, i) => i).filter((i) => i % every === 0);
        for (const axis of [layout.xaxis, layout.yaxis]) {
            axis.tickvals = shown;
            axis.ticktext = shown.map((i) => gpt.plain(labels[i]));
        }
    };

    mosaic.onclick = (point) => {
        const { pitch } = grid();
        select(Math.floor(point.y / pitch), Math.floor(point.x / pitch));
    };

    left.addEventListener("keydown", (event) => {
        const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (!move || !props.value?.mosaic) return;
        event.preventDefault();
        select(selected.layer + move[0], selected.head + move[1]);
    });

    map.onhover = (point) => {
        if (!point) return;
        const { labels, weights } = map.figure.layout.meta;
        map.weights = map.weightsOf === weights ? map.weights : gpt.unpack(weights);
        map.weightsOf = weights;
        const weight = map.weights[point.y * labels.length + point.x];
        if (Number.isNaN(weight)) return;
        reading.textContent = `${labels[point.y]} (position ${point.y}) reads ${labels[point.x]} (position ${point.x}) with weight ${weight.toFixed(4)}`;
    };

    const show = () => {
        const value = props.value || {};
        error.textContent = value.error || "";
        note.textContent = value.note || "";
        panes.hidden = !value.mosaic;
        if (!props.value) note.textContent = "Choose a run: its heads will appear here.";
        reading.textContent = value.mosaic ? "Point at a cell to read its exact weight." : "";
        next.replaceChildren();
        asked += 1;                                                 // an answer about what was shown before is no longer waited for
        delete element.dataset.shown;
        if (!value.mosaic) return;
        if (!scale.options.length) {
            scale.append(...value.scales.map((name) => gpt.make("option", "", name)));
            scale.value = "square root";
        }
        mosaic.show(value.mosaic);
        next.append("Next token: ");
        value.next.forEach(([label, probability], i) => next.append(i ? ", " : "", gpt.make("code", "", label), ` ${Math.round(100 * probability)} %`));
        select(selected.layer, selected.head);
    };
    scale.onchange = () => select(selected.layer, selected.head);
    watch("value", show);
    show();
};
