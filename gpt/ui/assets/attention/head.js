// One head in full: a map of all its weights, or lines from one token to those it reads; and that token's row in exact numbers, below.

gpt.MOST_BARS = 12;                                                  // keys of a row that are shown in numbers, the largest first

gpt.headPane = function ({ pane, row }, explorer) {
    const name = gpt.make("span"), settings = gpt.make("span", "gpt-settings"), area = gpt.make("div"), about = gpt.make("p", "gpt-small");
    const view = gpt.select(settings, "show", [...explorer.choices.views, "lines"], "weights");
    const scale = gpt.select(settings, "colour scale", explorer.choices.scales, "square root");
    const reading = gpt.make("p", "gpt-reading"), requests = gpt.requests();
    let whole = false, numbers = null;                               // of the map: the rows up to the diagonal, one after the other
    const full = gpt.button("Show every cell", () => {
        whole = true;
        explorer.select({});
    });
    gpt.live(row);
    pane.append(gpt.wrap("div", "gpt-title", name, settings), area, about, full, reading);
    const map = gpt.headMap(area, explorer, reading, () => numbers);
    view.onchange = scale.onchange = () => explorer.select({});

    const select = async () => {
        const isNewest = requests.begin(), { layer, head } = explorer.selected, lines = view.value === "lines";
        name.textContent = `Layer ${layer}, head ${head}`;
        scale.parentElement.hidden = lines;
        const answer = await explorer.ask("head", { layer, head, view: lines ? "weights" : view.value, scale: scale.value, full: whole || lines });  // lines need every number
        if (!isNewest() || !answer) return;
        const read = lines ? new Map((await explorer.ask("lines", explorer.selected))?.keys) : new Map();  // position -> weight
        if (!isNewest()) return;
        numbers = gpt.unpack(answer.figure.layout.meta.weights);
        map.show(lines ? gpt.linesFigure(explorer, read) : answer.figure, lines);
        about.textContent = lines ? "Lines go from the selected token, right, to those that hold 70 % of its attention, left. Click a token." : answer.about;
        full.hidden = !answer.pooled;
        explorer.habit = answer.habit;
        explorer.describe();
        reading.textContent = lines ? "" : "Point at a cell to read its exact number; click it to see its row.";
        row.replaceChildren(...gpt.rowBars(explorer, map.figure.layout.meta, numbers));
        pane.closest(".gpt-view").dataset.shown = `${layer},${head}`;
    };
    return {
        select,
        view: () => view.value,
        setView: (name) => { view.value = name; },
        clear() {                                                    // something else is about to be shown
            requests.drop();
            whole = false;
            delete pane.closest(".gpt-view").dataset.shown;
        },
    };
};

// The plot of the map. Its exact numbers are read from numbers() under the pointer; a click selects a row.
gpt.headMap = function (area, explorer, reading, numbers) {
    const map = gpt.plot(area, { aspect: 1.08, label: "attention of the selected head", name: () => gpt.headName(explorer, "attention") });
    const isWhole = (labels) => labels.length === explorer.value.tokens.length;      // and not shrunk
    const fit = (layout, width, data) => {
        gpt.fitLabels(layout, width, data);
        const { query } = explorer.selected, frame = { type: "rect", x0: -0.5, x1: query + 0.5, y0: query - 0.5, y1: query + 0.5,
                                                       line: { color: "var(--gpt-amber)", width: 2 } };
        layout.shapes = isWhole(layout.meta.labels) ? [frame] : [];
    };
    map.onhover = (point) => {
        if (!point || point.x > point.y || !numbers()) return;
        const { labels, unit } = map.figure.layout.meta, value = gpt.numberAt(numbers(), point.y, point.x);
        if (Number.isNaN(value)) return;
        reading.textContent = `${labels[point.y]} (position ${point.y}) reads ${labels[point.x]} (position ${point.x}) with ${unit} ${value.toFixed(4)}`;
    };
    map.onclick = (point) => {
        if (isWhole(map.figure.layout.meta.labels)) explorer.select({ query: point.y });
    };
    const { show } = map;
    map.show = (figure, lines) => {
        map.fit = lines ? null : fit;
        show(figure);
    };
    return map;
};

gpt.numberAt = (numbers, q, k) => numbers[q * (q + 1) / 2 + k];

// The selected token's row: the keys with the largest numbers as bars.
gpt.rowBars = function (explorer, { labels, unit }, numbers) {
    const q = explorer.selected.query;
    if (labels.length !== explorer.value.tokens.length) return [];   // a map that was shrunk
    const values = labels.slice(0, q + 1).map((label, k) => [label, gpt.numberAt(numbers, q, k), k]).filter(([, value]) => !Number.isNaN(value));
    values.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const largest = Math.abs(values[0]?.[1] ?? 1) || 1, shown = values.slice(0, gpt.MOST_BARS).sort((a, b) => a[2] - b[2]);
    const head = gpt.wrap("p", "gpt-small", `${unit} of what `, gpt.make("code", "", labels[q]),
        ` (position ${q}) reads` + (values.length > shown.length ? `, the ${shown.length} largest of ${values.length}` : ""));
    return [head, ...shown.map(([label, value, k]) => gpt.bar(label, Math.abs(value) / largest, value.toFixed(4), `position ${k}`))];
};

// Curves from the selected token, in the right column, to the tokens in `read`, in the left one.
gpt.linesFigure = function (explorer, read) {
    const { query } = explorer.selected, labels = explorer.value.tokens, from = Math.max(0, Math.min(query, ...read.keys()) - 1);
    const shown = labels.slice(from, query + 1).map((label, i) => ({ label, place: from + i }));
    const traces = [...read].map(([k, weight]) => ({ type: "scatter", mode: "lines", x: [0, 1], y: [k, query], hoverinfo: "none", showlegend: false,
                                                     line: { color: "var(--gpt-accent)", width: 1 + 9 * weight } }));
    const colour = (x, place) => x && place === query ? "var(--gpt-amber)" : read.has(place) && !x ? "var(--gpt-accent)" : "var(--gpt-muted)";
    const column = (x, side, anchor) => shown.map(({ label, place }) => ({ text: gpt.plain(label), x, y: place, xanchor: anchor, showarrow: false,
        font: { family: "var(--gpt-mono)", size: 12, color: colour(side, place) } }));
    const every = Math.ceil(shown.length / 28), thin = (texts) => texts.filter(({ y }) => (query - y) % every === 0 || read.has(y));
    const bare = { showticklabels: false, showgrid: false, zeroline: false, fixedrange: true };
    return { data: traces, layout: { xaxis: { ...bare, range: [-0.5, 1.5] }, yaxis: { ...bare, range: [query + 0.7, from - 0.7] },
             annotations: [...thin(column(-0.03, 0, "right")), ...thin(column(1.03, 1, "left"))],
             meta: { description: "lines from the selected token to those that hold 70 % of its attention", labels, unit: "weight" } } };
};
