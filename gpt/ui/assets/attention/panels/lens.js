// Logit lens: what the stream predicts after each layer, over a stretch of the prompt; below it, one prediction taken apart.

gpt.LENS_COLUMN = 38;                                                // pixels that a position takes at least
gpt.lensPercent = (share) => `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`;

// The server's answer: {figure, start, rows: [name], cells: [[[likeliest token, its probability, rank of the true next one, its probability]]],
// following: [label]}.
gpt.panels.push({
    order: 3,
    title: "Logit lens",
    build(element, explorer) {
        const settings = gpt.make("span", "gpt-settings"), layers = gpt.make("div", "gpt-lens-layers"), sum = gpt.make("div");
        const lens = gpt.lensMap(explorer), parts = gpt.attribution(sum, explorer), requests = gpt.requests();
        element.append(
            gpt.wrap("div", "gpt-title", gpt.make("span", "", "What each layer would predict"), settings),
            gpt.make("p", "gpt-small", "The stream after each layer, read as if it were the last: the likeliest next token. Above the last row this is a hint, "
                + "since the final norm and the head are made for the last layer; the last row is the model’s output."),
            lens.area, lens.reading, gpt.wrap("div", "gpt-panes", layers, sum));
        const colour = gpt.select(settings, "colour", explorer.choices.lens);

        const load = async () => {
            const isNewest = requests.begin(), most = Math.min(40, Math.max(6, Math.floor((element.clientWidth - 165) / gpt.LENS_COLUMN)));
            const answer = await explorer.ask("lens", { query: explorer.selected.query, most, colour: colour.value });
            if (!isNewest() || !answer) return;
            lens.show(answer);
            layers.replaceChildren(...gpt.lensLayers(answer, explorer.selected.query));
        };
        colour.onchange = load;
        return {
            show() {
                lens.forget();
                load();
                parts.show();
            },
            select() {
                if (lens.shows(explorer.selected.query)) {
                    lens.draw();
                    layers.replaceChildren(...gpt.lensLayers(lens.answer, explorer.selected.query));
                } else load();
                parts.select();
            },
        };
    },
});

// The heatmap of layers x positions, and a line that says what stands in the cell under the pointer or the cursor.
gpt.lensMap = function (explorer) {
    const area = gpt.make("div"), reading = gpt.live(gpt.make("p", "gpt-reading"));
    const options = { height: 300, label: "logit lens", name: () => gpt.inspectionName(explorer, "logit lens") }, map = gpt.plot(area, options);
    const lens = { area, reading, answer: null, draw: map.draw };
    let cursor = null;                                               // {x, y} of a cell
    area.tabIndex = 0;
    area.setAttribute("aria-label", "Layers and positions. Arrow keys move, Enter selects the token.");

    map.fit = (layout, width) => {
        const { start, rows } = lens.answer, frame = (x, y0, y1, width) =>
            ({ type: "rect", x0: x - 0.5, x1: x + 0.5, y0, y1, line: { color: "var(--gpt-amber)", width } });
        gpt.fitLens(map.figure, layout, width, lens.answer);
        layout.shapes = [frame(explorer.selected.query - start, -0.5, rows.length - 0.5, 3)];
        if (cursor) layout.shapes.push(frame(cursor.x, cursor.y - 0.5, cursor.y + 0.5, 2));
    };
    const describe = (place) => {
        const sentence = gpt.lensCell(lens.answer, place);
        if (sentence) reading.textContent = sentence;
    };
    map.onhover = (point) => point && describe(point);
    map.onclick = (point) => explorer.select({ query: lens.answer.start + point.x });
    const place = () => cursor ?? { x: explorer.selected.query - lens.answer.start, y: lens.answer.rows.length - 1 };
    gpt.onArrowKey(area, (dx, dy) => {
        if (!lens.answer) return false;
        const { x, y } = place();
        cursor = { x: gpt.clamp(x + dx, lens.answer.cells[0].length), y: gpt.clamp(y + dy, lens.answer.rows.length) };
        map.draw();
        describe(cursor);
    });
    area.addEventListener("keydown", (event) => {
        if (!lens.answer || event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        explorer.select({ query: lens.answer.start + place().x });
    });

    lens.forget = () => { lens.answer = null; };
    lens.shows = (query) => lens.answer && query >= lens.answer.start && query < lens.answer.start + lens.answer.cells[0].length;
    lens.show = (answer) => {
        if (answer.start !== lens.answer?.start) cursor = null;
        lens.answer = answer;
        options.height = 70 + 26 * answer.rows.length;
        map.show(answer.figure);
        reading.textContent = "Point at a cell, or move with the arrow keys, to read it; click it to select its token.";
    };
    return lens;
};

// In each cell as much of its token as there is room for, and as many labels as fit.
gpt.fitLens = function (figure, layout, width, { cells }) {
    const { labels } = layout.meta, column = (width - (width < 480 ? 110 : 165)) / labels.length, room = Math.floor(column / 7);
    const cut = (label) => (label.length <= room ? label : room < 3 ? "" : `${label.slice(0, room - 1)}…`);
    figure.data[0].text = cells.map((row) => row.map(([label]) => gpt.plain(cut(label))));
    const every = Math.ceil(16 / column), shown = labels.map((_, i) => i).filter((i) => i % every === 0);
    layout.xaxis.tickvals = shown;
    layout.xaxis.ticktext = shown.map((i) => gpt.plain(labels[i]));
    if (width < 480) figure.data[0].showscale = false;
};

// What stands in a cell, as a sentence; "" where there is none.
gpt.lensCell = function (answer, { x, y }) {
    const cell = answer?.cells[y]?.[x];
    if (!cell) return "";
    const [label, probability, rank, trueProbability] = cell, where = y ? `after ${answer.rows[y]}` : "from the embeddings alone";
    const truth = rank === null ? "nothing follows"
        : `the true next token ${answer.following[x]} has rank ${rank.toLocaleString("en")} with ${gpt.lensPercent(trueProbability)}`;
    return `${answer.figure.layout.meta.labels[x]} (position ${answer.start + x}) ${where}: ${label} with ${gpt.lensPercent(probability)}; ${truth}`;
};

// The selected token's column in words: the same as the heatmap shows.
gpt.lensLayers = function (answer, query) {
    const x = query - answer.start, following = answer.following[x], last = following === undefined;
    const head = gpt.wrap("p", "gpt-small", "After ", gpt.make("code", "", answer.figure.layout.meta.labels[x]),
        ` (position ${query}), layer by layer` + (last ? ": nothing follows in the text" : "; the true next token is "));
    if (!last) head.append(gpt.make("code", "", following));
    const row = (tag, texts) => gpt.wrap("tr", "", ...texts.map((text, i) => gpt.make(tag, i < 2 ? "" : "gpt-number", text)));
    const rows = answer.cells.map((cells, y) => {
        const [label, probability, rank, trueProbability] = cells[x];
        const line = row("td", [answer.rows[y], "", gpt.lensPercent(probability), ...(last ? [] : [rank.toLocaleString("en"), gpt.lensPercent(trueProbability)])]);
        line.children[1].append(gpt.make("code", "", label));
        return line;
    });
    const titles = row("th", ["", "likeliest", "probability", ...(last ? [] : ["rank of the true", "its probability"])]);
    return [gpt.make("div", "gpt-title", "The same in words"), head, gpt.wrap("div", "gpt-scroll", gpt.wrap("table", "gpt-table", titles, ...rows))];
};
