// Compare: the inspection that is shown, A, against other weights on the same text, B: another snapshot, another run, or A without heads.

gpt.panels.push({
    order: 5,
    title: "Compare",
    build(element, explorer) {
        const controls = gpt.compareControls(explorer, () => compare()), results = gpt.compareResults(explorer);
        const requests = gpt.requests();
        element.append(controls.element, ...results.elements);

        const showHead = async (isNewest) => {
            const { layer, head } = explorer.selected;
            const answer = await explorer.ask("compare_head", { ...controls.request(), layer, head });
            if (isNewest() && answer) results.showHead(answer);
        };
        const compare = async () => {
            const isNewest = requests.begin();
            controls.update();
            const obstacle = controls.obstacle();
            results.clear(obstacle);
            if (obstacle) return;
            const answer = await explorer.ask("compare", controls.request());
            if (!isNewest()) return;
            results.show(answer);
            if (answer) await showHead(isNewest);
        };
        return {
            async show() {
                if (!controls.runs.length || !explorer.film.isPlaying()) {
                    const answer = await explorer.ask("rivals", {});
                    if (!answer) return;
                    controls.runs = answer.runs;
                }
                await compare();
            },
            select() {
                controls.update();
                if (results.isShown()) return showHead(requests.begin());
            },
        };
    },
});

// What to compare with. request() returns the request to the server; obstacle() returns why nothing can be compared, or "".
gpt.compareControls = function (explorer, changed) {
    const element = gpt.make("div", "gpt-settings gpt-left"), chips = gpt.make("span");
    const kind = gpt.select(element, "compare with", ["another snapshot", "another run", "itself without heads"]);
    const run = gpt.select(element, "run", []), step = gpt.select(element, "at", []);
    const instead = gpt.select(element, "each is replaced by", ["its mean", "nothing (0)"]);
    let without = [];
    const take = (heads) => {
        without = heads;
        changed();
    };
    const add = gpt.button("", () => take([...without, [explorer.selected.layer, explorer.selected.head]]));
    add.hidden = true;                                               // until there is a head to name
    element.append(chips, add);
    kind.onchange = run.onchange = step.onchange = instead.onchange = changed;

    const controls = { element, runs: [] };                          // runs: [{name, steps}]
    controls.request = () => kind.value === "itself without heads"
        ? { with: "without", heads: without, zero: instead.value !== "its mean" }
        : { with: "weights", run: kind.value === "another run" ? run.value : explorer.value.run, step: JSON.parse(step.value) };
    controls.obstacle = () => kind.value === "another run" && !run.value ? "There is no other run to compare with: train one in the Train tab."
        : kind.value === "another snapshot" && step.length === 1 ? `Run ${explorer.value.run} kept no snapshots: compare with another run.` : "";

    // Show the controls that belong to this kind of comparison, with the choices that there are now.
    controls.update = () => {
        const { layer, head } = explorer.selected, heads = kind.value === "itself without heads", other = kind.value === "another run";
        run.parentElement.hidden = !other;
        step.parentElement.hidden = heads;
        instead.parentElement.hidden = chips.hidden = !heads;
        gpt.refillSelect(run, controls.runs.filter(({ name }) => name !== explorer.value.run).map(({ name }) => [name, name]));
        const name = other ? run.value : explorer.value.run, steps = [...(controls.runs.find((entry) => entry.name === name)?.steps ?? []), null];
        const first = other || explorer.value.step === steps[0] ? null : steps[0];      // the beginning of this run, or the best weights
        gpt.refillSelect(step, steps.map((step) => [JSON.stringify(step), gpt.stepLabel(step)]), name, JSON.stringify(first));
        if (!without.length) without = [[layer, head]];
        add.textContent = `take out layer ${layer} head ${head} too`;
        add.hidden = !heads || without.some(([l, h]) => l === layer && h === head);
        chips.replaceChildren(...without.map((place) => {
            const chip = gpt.button(`layer ${place[0]} head ${place[1]}${without.length > 1 ? " ×" : ""}`,
                () => take(without.filter((head) => head !== place)), "gpt-word");
            chip.title = without.length > 1 ? "leave it in" : "";
            chip.disabled = without.length === 1;
            return chip;
        }));
    };
    return controls;
};

// Fill a list with choices [[value, text]] for `subject`. The old choice stays if the subject is the same and still has it; else `first`.
gpt.refillSelect = function (select, choices, subject = "", first = choices[0]?.[0]) {
    const before = select.dataset.subject === subject ? select.value : first;
    select.dataset.subject = subject;
    gpt.fillSelect(select, choices);
    if (choices.some(([value]) => value === before)) select.value = before;
};

// The elements that show a comparison, and the ways to fill them.
gpt.compareResults = function (explorer) {
    const sentence = gpt.live(gpt.make("p", "gpt-sentence")), notes = gpt.make("div"), about = gpt.make("p", "gpt-small");
    const maps = gpt.make("div", "gpt-three"), area = gpt.make("div"), unscored = gpt.make("p", "gpt-small");
    const text = gpt.compareText(), plots = gpt.compareMaps(maps, explorer);
    const scores = gpt.wrap("div", "",
        gpt.make("p", "gpt-small", "Every head's scores, A against B: what lies on the dotted line has not changed."), area, unscored);
    const lower = gpt.wrap("div", "gpt-panes", text.element, scores);
    const scatter = gpt.plot(area, { height: 380, label: "scores of all heads, A against B",
                                     name: () => gpt.inspectionName(explorer, "compared scores") });

    return {
        elements: [sentence, notes, maps, about, lower],
        isShown: () => !lower.hidden,
        clear(obstacle) {
            maps.hidden = lower.hidden = Boolean(obstacle);
            notes.replaceChildren();
            if (obstacle) [sentence.textContent, about.textContent] = [obstacle, ""];
        },
        show(answer) {
            maps.hidden = lower.hidden = !answer;
            sentence.textContent = about.textContent = "";
            if (!answer) return;
            sentence.textContent = answer.sentence;
            notes.replaceChildren(...[`A is ${answer.a}; B is ${answer.b}.`, ...answer.notes].map((note) => gpt.make("p", "gpt-small", note)));
            text.show(answer);
            area.hidden = !answer.scatter;
            unscored.textContent = answer.unscored;
            if (answer.scatter) scatter.show(answer.scatter);
        },
        showHead(answer) {
            maps.hidden = !answer.maps;
            about.textContent = answer.none ?? answer.sentence;
            if (answer.maps) plots.show(answer.maps);
        },
    };
};

// Three maps beside each other: A, B and their difference.
gpt.compareMaps = function (element, explorer) {
    const titles = { a: "A", b: "B", difference: "A - B: orange where A reads more, blue where B does" };
    const plots = Object.entries(titles).map(([name, title]) => {
        const place = gpt.wrap("div", "", gpt.make("p", "gpt-small", title));
        element.append(place);
        const options = { aspect: 1.1, label: `weights, ${name}`, name: () => gpt.headName(explorer, `compared ${name}`) };
        return [name, Object.assign(gpt.plot(place, options), { fit: gpt.fitLabels })];
    });
    return { show: (figures) => plots.forEach(([name, plot]) => plot.show(figures[name])) };
};

// The text, each piece shaded by which model expects it better, and the largest differences as bars.
gpt.compareText = function () {
    const key = gpt.make("p", "gpt-small"), text = gpt.make("div", "gpt-words gpt-differences"), changes = gpt.make("div", "gpt-row");
    return {
        element: gpt.wrap("div", "", key, text, changes),
        show({ pieces, piece }) {
            const largest = Math.max(0.5, ...pieces.map(([, a, b]) => Math.abs(a - b)));
            key.textContent = `Loss of each ${piece} in nats, A - B: blue where A expects it better, orange where B does.`;
            text.replaceChildren(...pieces.map(([label, a, b]) => {
                const word = gpt.make("span", a > b ? "gpt-word gpt-worse" : "gpt-word gpt-better", label);
                word.style.setProperty("--share", Math.sqrt(Math.abs(a - b) / largest).toFixed(3));
                word.title = `A ${a.toFixed(2)}, B ${b.toFixed(2)} nats`;
                return word;
            }));
            const order = pieces.map(([label, a, b], i) => ({ label, a, b, i })).sort((x, y) => Math.abs(y.a - y.b) - Math.abs(x.a - x.b));
            changes.replaceChildren(gpt.make("p", "gpt-small", "The largest changes"), ...order.slice(0, 10).map(({ label, a, b, i }) => {
                const bar = gpt.bar(label, Math.abs(a - b) / largest, gpt.signed(a - b), `${piece} ${i + 1}: A ${a.toFixed(2)}, B ${b.toFixed(2)} nats`);
                bar.classList.add(a > b ? "gpt-worse" : "gpt-better");
                return bar;
            }));
        },
    };
};
