// Compare: what is looked at, A, against other weights on the same text, B: another snapshot, another run, or A without some heads.

gpt.panels.push({
    title: "Compare",
    build(element, explorer) {
        const choices = gpt.make("div", "gpt-settings gpt-left"), sentence = gpt.make("p", "gpt-sentence"), notes = gpt.make("div");
        const maps = gpt.make("div", "gpt-three"), about = gpt.make("p", "gpt-small"), lower = gpt.make("div", "gpt-panes");
        const texts = gpt.make("div"), text = gpt.make("div", "gpt-words gpt-differences"), key = gpt.make("p", "gpt-small");
        const changes = gpt.make("div", "gpt-row"), scores = gpt.make("div"), area = gpt.make("div"), unscored = gpt.make("p", "gpt-small");
        sentence.setAttribute("role", "status");
        texts.append(key, text, changes);
        scores.append(gpt.make("p", "gpt-small", "Every head's scores, A against B: what lies on the dotted line has not changed."), area, unscored);
        lower.append(texts, scores);
        element.append(choices, sentence, notes, maps, about, lower);

        const select = (label, names) => {
            const option = gpt.make("label", "gpt-option", `${label} `), list = gpt.make("select");
            list.append(...names.map((name) => gpt.make("option", "", name)));
            option.append(list);
            choices.append(option);
            return list;
        };
        const kind = select("compare with", ["another snapshot", "another run", "itself without heads"]);
        const run = select("run", []), step = select("at", []), instead = select("each says instead", ["its mean", "nothing (0)"]);
        const chips = gpt.make("span"), add = gpt.make("button", "gpt-link");
        choices.append(chips, add);
        const plots = Object.fromEntries(["a", "b", "difference"].map((name) => {
            const place = gpt.make("div"), title = gpt.make("p", "gpt-small");
            place.append(title);
            maps.append(place);
            const plot = gpt.plot(place, { aspect: 1.1, label: `weights, ${name}` });
            plot.fit = gpt.fitLabels;
            return [name, { plot, title }];
        }));
        const scatter = gpt.plot(area, { height: 380, label: "scores of all heads, A against B" });
        let asked = 0, runs = [], without = [];

        // [[value, text]]; what was chosen stays if the list is still of the same thing, and it is still there. Else `first` is.
        const fill = (list, entries, of = "", first = entries[0]?.[0]) => {
            const before = list.dataset.of === of ? list.value : first;
            list.dataset.of = of;
            list.replaceChildren(...entries.map(([value, words]) => Object.assign(gpt.make("option", "", words), { value })));
            if (entries.some(([value]) => value === before)) list.value = before;
        };
        const stepsOf = (name) => [...(runs.find((other) => other.name === name)?.steps ?? []), null];
        const question = () => kind.value === "itself without heads"
            ? { with: "without", heads: without, zero: instead.value !== "its mean" }
            : { with: "weights", run: kind.value === "another run" ? run.value : explorer.value.run, step: JSON.parse(step.value) };

        // The controls that belong to what is compared with.
        const arrange = () => {
            const { layer, head } = explorer.selected, heads = kind.value === "itself without heads", other = kind.value === "another run";
            run.parentElement.hidden = !other;
            step.parentElement.hidden = heads;
            instead.parentElement.hidden = chips.hidden = !heads;
            fill(run, runs.filter(({ name }) => name !== explorer.value.run).map(({ name }) => [name, name]));
            const name = other ? run.value : explorer.value.run, steps = stepsOf(name);
            const first = other || explorer.value.step === steps[0] ? null : steps[0];      // the beginning of this run, or the best weights
            fill(step, steps.map((one) => [JSON.stringify(one), gpt.inWords(one)]), name, JSON.stringify(first));
            if (!without.length) without = [[layer, head]];
            add.textContent = `take out layer ${layer} head ${head} too`;
            add.hidden = !heads || without.some(([l, h]) => l === layer && h === head);
            chips.replaceChildren(...without.map((place) => {
                const chip = gpt.make("button", "gpt-word", `layer ${place[0]} head ${place[1]}${without.length > 1 ? " ×" : ""}`);
                chip.title = without.length > 1 ? "leave it in" : "";
                chip.disabled = without.length === 1;
                chip.onclick = () => {
                    without = without.filter((other) => other !== place);
                    again();
                };
                return chip;
            }));
        };
        add.onclick = () => {
            without = [...without, [explorer.selected.layer, explorer.selected.head]];
            again();
        };

        const drawHead = async (mine) => {
            const { layer, head } = explorer.selected;
            const answer = await explorer.ask("compare_head", { ...question(), layer, head });
            if (mine !== asked || !answer) return;
            const figures = answer.maps;
            maps.hidden = !figures;
            about.textContent = answer.none ?? answer.sentence;
            const titles = { a: "A", b: "B", difference: "A - B: orange where A reads more, blue where B does" };
            for (const name of figures ? Object.keys(plots) : []) {
                plots[name].title.textContent = titles[name];
                plots[name].plot.show(figures[name]);
            }
        };

        const drawText = ({ pieces, piece }) => {
            const largest = Math.max(0.5, ...pieces.map(([, a, b]) => Math.abs(a - b)));
            key.textContent = `Loss of each ${piece} in nats, A - B: blue where A expects it better, orange where B does.`;
            text.replaceChildren(...pieces.map(([label, a, b]) => {
                const word = gpt.make("span", a > b ? "gpt-word gpt-worse" : "gpt-word gpt-better", label);
                word.style.setProperty("--share", Math.sqrt(Math.abs(a - b) / largest).toFixed(3));
                word.title = `A ${a.toFixed(2)}, B ${b.toFixed(2)} nats`;
                return word;
            }));
            const order = pieces.map((one, i) => ({ one, i })).sort((x, y) => Math.abs(y.one[1] - y.one[2]) - Math.abs(x.one[1] - x.one[2]));
            changes.replaceChildren(gpt.make("p", "gpt-small", "The largest changes"), ...order.slice(0, 10).map(({ one: [label, a, b], i }) => {
                const bar = gpt.bar(label, Math.abs(a - b) / largest, gpt.signed(a - b), `${piece} ${i + 1}: A ${a.toFixed(2)}, B ${b.toFixed(2)} nats`);
                bar.classList.add(a > b ? "gpt-worse" : "gpt-better");
                return bar;
            }));
        };

        const again = async () => {
            const mine = ++asked;
            arrange();
            const none = kind.value === "another run" && !run.value ? "There is no other run to compare with: train one in the Train tab."
                : kind.value === "another snapshot" && step.length === 1 ? `Run ${explorer.value.run} kept no snapshots: compare with another run.` : "";
            maps.hidden = lower.hidden = Boolean(none);
            notes.replaceChildren();
            if (none) {
                sentence.textContent = none;
                about.textContent = "";
                return;
            }
            const answer = await explorer.ask("compare", question());
            if (mine !== asked) return;
            maps.hidden = lower.hidden = !answer;
            sentence.textContent = about.textContent = "";
            if (!answer) return;
            sentence.textContent = answer.sentence;
            notes.replaceChildren(...[`A is ${answer.a}; B is ${answer.b}.`, ...answer.notes].map((note) => gpt.make("p", "gpt-small", note)));
            drawText(answer);
            area.hidden = !answer.scatter;
            unscored.textContent = answer.unscored;
            if (answer.scatter) scatter.show(answer.scatter);
            await drawHead(mine);
        };
        kind.onchange = run.onchange = step.onchange = instead.onchange = again;

        const show = async () => {
            if (!runs.length || !explorer.film.isPlaying()) {
                const answer = await explorer.ask("rivals", {});
                if (!answer) return;
                runs = answer.runs;
            }
            await again();
        };
        const selected = () => {
            arrange();
            if (!lower.hidden) return drawHead(++asked);
        };
        return { show, select: selected };
    },
});
