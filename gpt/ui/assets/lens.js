// What the stream predicts after each layer, over a stretch of the prompt; below it, one prediction taken apart.

gpt.LENS_COLUMN = 38;                                                // pixels that a position takes at least
gpt.MOST_PARTS = 16;                                                 // of an attribution, unless all are asked for

gpt.panels.push({
    title: "Logit lens",

    build(element, explorer) {
        const { choice } = gpt.lensControls, title = gpt.make("div", "gpt-title"), settings = gpt.make("span", "gpt-settings");
        const area = gpt.make("div"), reading = gpt.make("p", "gpt-reading"), halves = gpt.make("div", "gpt-panes");
        const layers = gpt.make("div", "gpt-lens-layers"), sum = gpt.make("div");
        const about = gpt.make("p", "gpt-small", "The stream after each layer, read as if it were the last: the likeliest next token. Above the last row this is a hint, " +
            "since the final norm and the head are made for the last layer; the last row is the model’s output.");
        const colour = choice(settings, "colour", explorer.choices.lens);
        title.append(gpt.make("span", "", "What each layer would say next"), settings);
        reading.setAttribute("role", "status");
        area.tabIndex = 0;
        area.setAttribute("aria-label", "Layers and positions. Arrow keys move, Enter selects the token.");
        halves.append(layers, sum);
        element.append(title, about, area, reading, halves);
        const options = { height: 300, label: "logit lens" }, map = gpt.plot(area, options);
        const parts = gpt.attribution(sum, explorer);
        let asked = 0, answer = null, cursor = null;

        // In each cell as much of its token as there is room for; a frame around the selected token's column, and one around the cursor.
        map.fit = (layout, width) => {
            const { labels } = layout.meta, n = labels.length, column = (width - (width < 480 ? 110 : 165)) / n, room = Math.floor(column / 7);
            const cut = (label) => (label.length <= room ? label : room < 3 ? "" : `${label.slice(0, room - 1)}…`);
            map.figure.data[0].text = answer.cells.map((row) => row.map(([label]) => gpt.plain(cut(label))));
            const every = Math.ceil(16 / column), shown = labels.map((_, i) => i).filter((i) => i % every === 0);
            layout.xaxis.tickvals = shown;
            layout.xaxis.ticktext = shown.map((i) => gpt.plain(labels[i]));
            if (width < 480) map.figure.data[0].showscale = false;
            const frame = (x, y0, y1, width) => ({ type: "rect", x0: x - 0.5, x1: x + 0.5, y0, y1, line: { color: "var(--gpt-amber)", width } });
            layout.shapes = [frame(explorer.selected.query - answer.start, -0.5, answer.rows.length - 0.5, 3)];
            if (cursor) layout.shapes.push(frame(cursor.x, cursor.y - 0.5, cursor.y + 0.5, 2));
        };

        const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`;
        const tell = ({ x, y }) => {
            const cell = answer?.cells[y]?.[x];
            if (!cell) return;
            const [label, probability, rank, true_] = cell, where = y ? `after ${answer.rows[y]}` : "from the embeddings alone";
            const truth = rank === null ? "nothing follows" : `the true next token ${answer.following[x]} has rank ${rank.toLocaleString("en")} with ${percent(true_)}`;
            reading.textContent = `${answer.figure.layout.meta.labels[x]} (position ${answer.start + x}) ${where}: ${label} with ${percent(probability)}; ${truth}`;
        };
        map.onhover = (point) => point && tell(point);
        map.onclick = (point) => explorer.select({ query: answer.start + point.x });
        area.addEventListener("keydown", (event) => {
            const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
            if (!answer || (!move && event.key !== "Enter") || event.ctrlKey || event.metaKey) return;
            event.preventDefault();
            cursor ||= { x: explorer.selected.query - answer.start, y: answer.rows.length - 1 };
            if (!move) return explorer.select({ query: answer.start + cursor.x });
            const within = (value, end) => Math.min(Math.max(value, 0), end - 1);
            cursor = { x: within(cursor.x + move[0], answer.cells[0].length), y: within(cursor.y + move[1], answer.rows.length) };
            map.draw();
            tell(cursor);
        });

        // The selected token's column in words: the twin of the picture.
        const tellLayers = () => {
            const x = explorer.selected.query - answer.start, table = gpt.make("table", "gpt-table"), head = gpt.make("p", "gpt-small", "After ");
            const label = answer.figure.layout.meta.labels[x], last = answer.following[x] === undefined;
            head.append(gpt.make("code", "", label), ` (position ${answer.start + x}), layer by layer` + (last ? ": nothing follows in the text" : "; the true next token is "));
            if (!last) head.append(gpt.make("code", "", answer.following[x]));
            const row = (tag, texts) => {
                const line = gpt.make("tr");
                line.append(...texts.map((text, i) => gpt.make(tag, i < 2 ? "" : "gpt-number", text)));
                return line;
            };
            table.append(row("th", ["", "likeliest", "probability", ...(last ? [] : ["rank of the true", "its probability"])]));
            answer.cells.forEach((cells, y) => {
                const [label, probability, rank, true_] = cells[x], line = row("td", [answer.rows[y], "", percent(probability),
                    ...(last ? [] : [rank.toLocaleString("en"), percent(true_)])]);
                line.children[1].append(gpt.make("code", "", label));
                table.append(line);
            });
            const scroll = gpt.make("div", "gpt-scroll");
            scroll.append(table);
            layers.replaceChildren(gpt.make("div", "gpt-title", "The same in words"), head, scroll);
        };

        const look = async () => {
            const mine = ++asked, most = Math.min(40, Math.max(6, Math.floor((element.clientWidth - 165) / gpt.LENS_COLUMN)));
            const found = await explorer.ask("lens", { query: explorer.selected.query, most, colour: colour.value });
            if (mine !== asked || !found) return;
            if (found.start !== answer?.start) cursor = null;
            answer = found;
            options.height = 70 + 26 * answer.rows.length;
            map.show(answer.figure);
            reading.textContent = "Point at a cell, or move with the arrow keys, to read it; click it to select its token.";
            tellLayers();
        };
        colour.onchange = look;

        return {
            show() {
                answer = null;
                look();
                parts.show();
            },
            select() {
                const at = explorer.selected.query;
                if (answer && at >= answer.start && at < answer.start + answer.cells[0].length) {
                    map.draw();
                    tellLayers();
                } else look();
                parts.select();
            },
        };
    },
});

gpt.lensControls = {
    // A list of choices with its label, at the end of `place`.
    choice(place, label, names) {
        const option = gpt.make("label", "gpt-option", `${label} `), select = gpt.make("select");
        select.append(...names.map((name) => gpt.make("option", "", name)));
        option.append(select);
        place.append(option);
        return select;
    },
};

// The prediction after the selected token as a sum: a signed bar for each part of the model.
gpt.attribution = function (element, explorer) {
    const { choice } = gpt.lensControls, title = gpt.make("div", "gpt-title"), settings = gpt.make("span", "gpt-settings");
    const bars = gpt.make("div", "gpt-signed"), more = gpt.make("button", "gpt-link"), sentence = gpt.make("p", "gpt-sentence");
    const token = choice(settings, "explain", []), against = choice(settings, "less", []), order = choice(settings, "order", ["largest first", "by layer"]);
    sentence.setAttribute("role", "status");
    title.append(gpt.make("span", "", "Where the prediction comes from"));
    element.append(title, settings, sentence, bars, more);
    let asked = 0, answer = null, all = false, query = null;

    const draw = () => {
        const size = ([, amount]) => Math.abs(amount), largest = Math.max(...answer.parts.map(size), 1e-9);
        let shown = order.value === "by layer" ? answer.parts : [...answer.parts].sort((a, b) => size(b) - size(a));
        const rest = all || order.value === "by layer" ? [] : shown.slice(gpt.MOST_PARTS);
        if (rest.length > 1) shown = shown.slice(0, gpt.MOST_PARTS);
        bars.replaceChildren(...shown.map(([name, amount, layer, head]) => {
            const row = gpt.make("div", "gpt-signed-row"), track = gpt.make("span", "gpt-signed-track"), fill = gpt.make("i", amount < 0 ? "gpt-against" : "");
            const label = gpt.make(head === null ? "span" : "button", head === null ? "" : "gpt-link", name);
            if (head !== null) label.onclick = () => explorer.select({ layer, head });
            if (head !== null && layer === explorer.selected.layer && head === explorer.selected.head) row.classList.add("gpt-chosen");
            fill.style.width = `${50 * Math.abs(amount) / largest}%`;
            track.append(fill);
            row.append(label, track, gpt.make("span", "gpt-number", `${amount < 0 ? "−" : "+"}${Math.abs(amount).toFixed(3)}`));
            return row;
        }));
        const left = rest.reduce((sum, [, amount]) => sum + amount, 0);
        more.hidden = rest.length < 2;
        more.textContent = `and ${rest.length} smaller ones, together ${left < 0 ? "−" : "+"}${Math.abs(left).toFixed(3)}: show them`;
    };

    // The lists keep what stands for the same at every token: the likeliest, the true next one, the mean. A token's number does not.
    const fill = () => {
        const option = (value, text) => Object.assign(gpt.make("option", "", text), { value });
        const named = answer.tokens.map(([number, label, share, true_]) => option(true_ ? "true" : String(number), `${label} ${(100 * share).toFixed(1)} %${true_ ? ", the true next" : ""}`));
        token.replaceChildren(...named);
        const explained = answer.tokens.find(([number]) => number === answer.token);
        token.value = explained[3] ? "true" : String(answer.token);
        const before = against.value;
        const others = answer.tokens.filter(([number]) => number !== answer.token).map(([number, label]) => option(String(number), `that of ${label}`));
        against.replaceChildren(option("mean", "the mean of all tokens"), option("nothing", "nothing"), ...others);
        against.value = [...against.options].some(({ value }) => value === before) ? before : "mean";
    };

    const look = async (question) => {
        const mine = ++asked;
        query = explorer.selected.query;
        const found = await explorer.ask("attribution", { query, ...question });
        if (mine !== asked || !found) return;
        answer = found;
        fill();
        sentence.textContent = answer.sentence;
        draw();
    };
    const steady = () => (["mean", "nothing"].includes(against.value) ? against.value : "mean");
    token.onchange = () => look({ token: token.value, against: steady() });
    against.onchange = () => look({ token: token.value, against: against.value });
    order.onchange = draw;
    more.onclick = () => {
        all = true;
        draw();
    };

    const anew = () => look({ token: token.value === "true" ? "true" : "likeliest", against: against.value ? steady() : "mean" });
    return {
        show: anew,
        select() {
            if (explorer.selected.query !== query) anew();
            else if (answer) draw();                                 // another head may be selected
        },
    };
};
