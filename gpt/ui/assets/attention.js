// The Attention tab: all heads as a mosaic, the selected one large, a sentence in words under both, and panels of further questions.

// Ways of looking further, each in a file of its own: {title, build(element, explorer) -> {show(), select()}}. `show` is called when the
// panel is opened and when something else is looked at while it is open, `select` when another head or token is selected meanwhile.
gpt.panels = [];

// value: {number, key, run, weights, step, film, tokens: [label], mosaic: figure, note, next: [[label, probability]], error}
gpt.views.explorer = function (element, props, { watch, trigger, server, choices }) {
    const error = gpt.make("p", "gpt-error"), note = gpt.make("p", "gpt-small");
    const panes = gpt.make("div", "gpt-panes"), left = gpt.make("div", "gpt-mosaic"), right = gpt.make("div", "gpt-head");
    const below = gpt.make("div", "gpt-panes"), words = gpt.make("div"), row = gpt.make("div", "gpt-row");
    const next = gpt.make("p", "gpt-small"), sentence = gpt.make("p", "gpt-sentence"), title = gpt.make("div", "gpt-title");
    const over = gpt.make("div", "gpt-film");
    left.tabIndex = 0;
    left.setAttribute("aria-label", "All heads. Arrow keys choose one; space plays them over the training.");
    sentence.setAttribute("role", "status");
    title.append(gpt.make("span", "", "All heads"));
    left.append(title);
    panes.append(left, right);
    below.append(words, row);
    const tabs = gpt.make("div", "gpt-tabs"), room = gpt.make("div", "gpt-panel");
    tabs.setAttribute("role", "tablist");
    element.replaceChildren(error, note, over, panes, sentence, next, below, tabs, room);
    const mosaic = gpt.plot(left, { aspect: 1.25, label: "attention of all heads" });

    const explorer = {
        choices, title, mosaic, value: null, selected: { layer: 0, head: 0, query: 0 },

        // The answer of a server function about what is looked at, as long as it is `wanted`: until something else is looked at. A refusal
        // is told above everything, and the answer is undefined.
        async ask(name, question, wanted) {
            const key = explorer.value?.key;
            const answer = await server[name]({ ...question, key });         // undefined if the server does not answer
            if (!(wanted ? wanted() : key === explorer.value?.key)) return undefined;
            error.textContent = answer ? answer.error || "" : "The page has lost its server: start python demo.py again.";
            return answer?.error ? undefined : answer;
        },

        // What the selected head is for, and what it does on this prompt.
        tell() {
            const { layer, head } = explorer.selected;
            const role = roles.of(layer, head)?.sentence, effect = explorer.effects?.[`${layer},${head}`];
            const without = effect === undefined ? "" : `Without it the loss ${effect < 0 ? "falls" : "rises"} by ${Math.abs(effect).toFixed(3)} nats.`;
            const habit = explorer.habit && (role ? `On this prompt it ${explorer.habit}` : `On this prompt layer ${layer} head ${head} ${explorer.habit}`);
            sentence.textContent = [role, without, habit].filter(Boolean).join(" ");
        },

        // Select a head, and the token whose row is looked at; what is not named stays.
        select(change) {
            const { layers, heads } = explorer.value.mosaic.layout.meta, n = explorer.value.tokens.length;
            const within = (value, end) => Math.min(Math.max(value, 0), end - 1);
            const wanted = { ...explorer.selected, ...change };
            explorer.selected = { layer: within(wanted.layer, layers), head: within(wanted.head, heads), query: within(wanted.query, n) };
            frame();
            return Promise.all([shown.select(), opened?.select?.()]);          // when it is drawn
        },

        // Show another frame of what is looked at, in place: every head stays where it is, and what it was stands there until it is known
        // what it is now.
        async draw(value) {
            const { places, marks, ordered } = mosaic.figure.layout.meta;
            explorer.value = value;
            explorer.effects = null;
            const figure = ordered ? (await explorer.ask("mosaic", { order: places }))?.mosaic : value.mosaic;
            if (!figure || explorer.value !== value) return;
            figure.layout.meta.marks = marks;
            mosaic.figure = figure;
            explorer.film.tell();
            tellNext();
            frame();
            await Promise.all([roles.follow(), shown.select(), opened?.show?.()]);
        },
    };
    const roles = explorer.roles = gpt.rolesOf(explorer);
    const shown = gpt.headPane({ pane: right, words, row }, explorer);
    explorer.film = gpt.film(over, explorer, (step) => trigger("click", { run: explorer.value.run, step }));
    let shownWish = null, newest = 0;

    // A frame around the selected head, and a corner for each head's mark where there is room.
    const frame = () => {
        const { pitch, size, places, heads } = mosaic.figure.layout.meta;
        const at = places.findIndex(([layer, head]) => layer === explorer.selected.layer && head === explorer.selected.head);
        const x = (at % heads) * pitch - 1, y = Math.floor(at / heads) * pitch - 1;
        mosaic.figure.layout.shapes = [{ type: "rect", x0: x, x1: x + size + 1, y0: y, y1: y + size + 1, line: { color: "var(--gpt-amber)", width: 3 } }];
        mosaic.draw();
    };

    mosaic.fit = gpt.marked;

    const placeAt = (point) => {
        const { pitch, places, heads } = mosaic.figure.layout.meta;
        return places[Math.floor(point.y / pitch) * heads + Math.floor(point.x / pitch)];
    };
    mosaic.onclick = (point) => {
        const place = placeAt(point);
        if (place) explorer.select({ layer: place[0], head: place[1] });
    };

    const tellNext = () => {
        next.replaceChildren("Next token: ");
        explorer.value.next.forEach(([label, probability], i) => next.append(i ? ", " : "", gpt.make("code", "", label), ` ${(100 * probability).toFixed(probability < 0.01 ? 2 : 0)} %`));
    };

    left.addEventListener("keydown", (event) => {
        const walk = { " ": () => explorer.film.toggle(), ",": () => explorer.film.walk(-1), ".": () => explorer.film.walk(1) }[event.key];
        if (walk && event.target === left && explorer.film.steps?.length) {
            event.preventDefault();
            return walk();
        }
        const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" }[event.key];
        if (!move || !explorer.value?.mosaic) return;
        event.preventDefault();
        const { places, heads } = mosaic.figure.layout.meta;
        const at = places.findIndex(([layer, head]) => layer === explorer.selected.layer && head === explorer.selected.head);
        const column = at % heads;
        const to = move === "up" ? at - heads : move === "down" ? at + heads : column + move >= 0 && column + move < heads ? at + move : at;
        if (places[to]) explorer.select({ layer: places[to][0], head: places[to][1] });
    });

    // Panels are built when they are first opened: most people look at one or two.
    const built = new Map();
    let opened = null;
    gpt.panels.forEach((panel, i) => {
        const tab = gpt.make("button", "", panel.title);
        tab.setAttribute("role", "tab");
        tab.setAttribute("aria-selected", "false");
        tab.id = `panel-${i}`;
        tab.onclick = () => {
            const again = tab.getAttribute("aria-selected") === "true";
            for (const other of tabs.children) other.setAttribute("aria-selected", String(other === tab && !again));
            if (!built.has(panel)) {
                const place = gpt.make("div", "gpt-panel-content");
                built.set(panel, { place, ...panel.build(place, explorer) });
            }
            opened = again ? null : built.get(panel);
            room.replaceChildren(...(opened ? [opened.place] : []));
            opened?.show?.();
        };
        tabs.append(tab);
    });

    explorer.show = (value) => {
        if (value.number < newest) return;                                  // asked for before what is shown, and late
        newest = value.number ?? newest;
        if (gpt.replay.wish && value.mosaic && !value.replayed) return;     // the same, before a step was wished for
        const same = explorer.value?.tokens && value.tokens && explorer.value.tokens.join("\n") === value.tokens.join("\n");
        const again = same && shownWish === gpt.replay.wish;
        shownWish = gpt.replay.wish;
        explorer.value = value;
        error.textContent = value.error || "";
        note.textContent = value.note || "";
        over.hidden = panes.hidden = below.hidden = tabs.hidden = room.hidden = !value.mosaic;
        if (!again) {
            sentence.textContent = explorer.habit = "";
            next.replaceChildren();
        }
        shown.clear();
        if (!value.mosaic) return;
        if (!again) explorer.selected.query = value.tokens.length - 1;
        explorer.film.begin(value);
        explorer.film.tell();
        mosaic.figure = value.mosaic;
        explorer.effects = null;                                    // of other weights
        tellNext();
        explorer.select({});
        mosaic.show(mosaic.figure);
        roles.show();
        opened?.show?.();
    };
    const show = () => explorer.show(props.value || { note: "Choose a run: its heads will appear here." });
    watch("value", show);
    show();
};
