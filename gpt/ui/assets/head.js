// One head in full: a map of all its weights, or lines from one token to those it reads; and that token's row in exact numbers, below.

gpt.MOST_BARS = 12;                                                  // keys of a row that are told in numbers, the largest first
gpt.headPane = function ({ pane, words: strip, row }, explorer) {
    const title = gpt.make("div", "gpt-title"), name = gpt.make("span"), settings = gpt.make("span", "gpt-settings");
    const choice = (label, options, first) => {
        const option = gpt.make("label", "gpt-option", `${label} `), select = gpt.make("select");
        select.append(...options.map((text) => gpt.make("option", "", text)));
        select.value = first;
        option.append(select);
        settings.append(option);
        return select;
    };
    const view = choice("show", [...explorer.choices.views, "lines"], "weights");
    const scale = choice("colour scale", explorer.choices.scales, "square root");
    const area = gpt.make("div"), about = gpt.make("p", "gpt-small"), full = gpt.make("button", "gpt-link", "Show every cell");
    const words = gpt.make("div", "gpt-words"), reading = gpt.make("p", "gpt-reading");
    row.setAttribute("role", "status");
    title.append(name, settings);
    pane.append(title, area, about, full, reading);
    strip.append(gpt.make("p", "gpt-small", "The tokens; choose one to see what it reads."), words);
    const map = gpt.plot(area, { aspect: 1.25, label: "attention of the selected head" });
    let asked = 0, whole = false, numbers = null;

    map.fit = (layout, width) => {
        gpt.fitLabels(layout, width);
        const { labels } = layout.meta;
        const query = explorer.selected.query;
        layout.shapes = labels.length === explorer.value.tokens.length ? [{ type: "rect", x0: -0.5, x1: query + 0.5, y0: query - 0.5, y1: query + 0.5,
                                                                            line: { color: "var(--gpt-amber)", width: 2 } }] : [];
    };

    const at = (q, k) => numbers[q * (q + 1) / 2 + k];                // rows up to the diagonal, one after the other
    map.onhover = (point) => {
        if (!point || point.x > point.y || !numbers) return;
        const { labels, unit } = map.figure.layout.meta, value = at(point.y, point.x);
        if (Number.isNaN(value)) return;
        reading.textContent = `${labels[point.y]} (position ${point.y}) reads ${labels[point.x]} (position ${point.x}) with ${unit} ${value.toFixed(4)}`;
    };
    map.onclick = (point) => {
        if (map.figure.layout.meta.labels.length === explorer.value.tokens.length) explorer.select({ query: point.y });
    };

    // The selected token's row: the keys with the largest numbers as bars.
    const tellRow = () => {
        row.replaceChildren();
        const { labels, unit } = map.figure.layout.meta, q = explorer.selected.query;
        if (labels.length !== explorer.value.tokens.length) return;
        const values = labels.slice(0, q + 1).map((label, k) => [label, at(q, k), k]).filter(([, value]) => !Number.isNaN(value));
        values.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
        const largest = Math.abs(values[0]?.[1] ?? 1) || 1, told = values.slice(0, gpt.MOST_BARS).sort((a, b) => a[2] - b[2]);
        const head = gpt.make("p", "gpt-small", `${unit} of what `);
        head.append(gpt.make("code", "", labels[q]), ` (position ${q}) reads` + (values.length > told.length ? `, the ${told.length} largest of ${values.length}` : ""));
        row.append(head, ...told.map(([label, value, k]) => gpt.bar(`${label}`, Math.abs(value) / largest, value.toFixed(4), `position ${k}`)));
    };

    // The tokens as text; lines become shades: what holds 70 % of the selected token's attention is marked.
    const tellWords = async (mine) => {
        const answer = view.value === "lines" ? await explorer.ask("lines", explorer.selected) : undefined;
        if (mine !== asked) return;
        const held = new Map(answer?.keys);
        words.replaceChildren(...explorer.value.tokens.map((label, i) => {
            const token = gpt.make("button", "gpt-word", label);
            token.setAttribute("aria-pressed", String(i === explorer.selected.query));
            token.onclick = () => explorer.select({ query: i });
            if (held.has(i)) token.style.setProperty("--share", held.get(i).toFixed(3));
            return token;
        }));
        return held;
    };

    // Curves from the selected token, in the right column, to the tokens that it reads, in the left one.
    const drawLines = (held) => {
        const { query } = explorer.selected, labels = explorer.value.tokens, from = Math.max(0, Math.min(query, ...held.keys()) - 1);
        const shown = labels.slice(from, query + 1).map((label, i) => ({ label, at: from + i }));
        const traces = [...held].map(([k, weight]) => ({ type: "scatter", mode: "lines", x: [0, 1], y: [k, query], hoverinfo: "none", showlegend: false,
                                                         line: { color: "var(--gpt-accent)", width: 1 + 9 * weight } }));
        const texts = (x, anchor) => shown.map(({ label, at }) => ({ text: gpt.plain(label), x, y: at, xanchor: anchor, showarrow: false,
            font: { family: "var(--gpt-mono)", size: 12, color: x && at === query ? "var(--gpt-amber)" : held.has(at) && !x ? "var(--gpt-accent)" : "var(--gpt-muted)" } }));
        const every = Math.ceil(shown.length / 28), thin = (texts) => texts.filter(({ y }) => (query - y) % every === 0 || held.has(y));
        const bare = { showticklabels: false, showgrid: false, zeroline: false, fixedrange: true };
        return { data: traces, layout: { xaxis: { ...bare, range: [-0.5, 1.5] }, yaxis: { ...bare, range: [query + 0.7, from - 0.7] },
                 annotations: [...thin(texts(-0.03, "right")), ...thin(texts(1.03, "left"))],
                 meta: { description: "lines from the selected token to those that hold 70 % of its attention", labels, unit: "weight" } } };
    };

    const select = async () => {
        const mine = ++asked, { layer, head } = explorer.selected, lines = view.value === "lines";
        name.textContent = `Layer ${layer}, head ${head}`;
        scale.parentElement.hidden = lines;
        const question = { layer, head, view: lines ? "weights" : view.value, scale: scale.value, full: whole };
        const answer = await explorer.ask("head", question);
        if (mine !== asked || !answer) return;
        numbers = gpt.unpack(answer.figure.layout.meta.weights);
        const held = await tellWords(mine);
        if (mine !== asked) return;
        map.fit = lines ? null : fit;
        map.show(lines ? drawLines(held) : answer.figure);
        about.textContent = lines ? "Lines go from the selected token, right, to those that hold 70 % of its attention, left. Click a token." : answer.about;
        full.hidden = !answer.pooled;
        explorer.habit = answer.habit;
        explorer.tell();
        reading.textContent = lines ? "" : "Point at a cell to read its exact number; click it to see its row.";
        tellRow();
        pane.closest(".gpt-view").dataset.shown = `${layer},${head}`;
    };
    const fit = map.fit;
    view.onchange = scale.onchange = () => explorer.select({});
    full.onclick = () => {
        whole = true;
        explorer.select({});
    };

    const clear = () => {
        asked += 1;                                                  // an answer about what was shown before is no longer waited for
        whole = false;
        delete pane.closest(".gpt-view").dataset.shown;
    };
    return { select, clear };
};

// As many token labels as fit without touching; they are text, and Plotly reads tags: escape them for the axes.
gpt.fitLabels = function (layout, width) {
    const { labels } = layout.meta, every = Math.ceil(labels.length * 14 / (0.62 * width));
    const shown = labels.map((_, i) => i).filter((i) => i % every === 0);
    for (const axis of [layout.xaxis, layout.yaxis]) {
        axis.tickvals = shown;
        axis.ticktext = shown.map((i) => gpt.plain(labels[i]));
    }
};

// A labelled bar: {label, share of the whole track, text of the number, title}
gpt.bar = function (label, share, number, title) {
    const row = gpt.make("div", "gpt-bar-row"), track = gpt.make("span", "gpt-bar-track"), fill = gpt.make("span", "gpt-bar-fill");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    row.append(gpt.make("code", "", label), track, gpt.make("span", "gpt-number", number));
    if (title) row.title = title;
    return row;
};
