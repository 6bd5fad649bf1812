// Heads that form: a line a head under the loss, the sentences of those that got a role, and the experiment on letters written twice. It
// is requested anew whenever heads were scored: see gpt/ui/tabs/head_formation.py.

gpt.STORY_EVERY = 1500;                                              // ms between two updates of an experiment in progress

// gpt.forming(element, server, choices, mark) -> {update(run, scored, rows), follow({range, log})}. mark(lines) draws [[loss, text]] into the loss
// chart.
gpt.forming = function (element, server, choices, mark) {
    const heads = gpt.formingHeads(choices, () => load()), story = gpt.formingStory(server, mark);
    const requests = gpt.requests();
    let run = null, loadedAt = 0;
    element.append(story.element, heads.element);
    heads.element.hidden = story.element.hidden = true;

    const load = async () => {
        const isNewest = requests.begin();
        loadedAt = performance.now();
        const answer = await server.forming({ run, score: heads.score() });
        if (!isNewest() || !answer || answer.error) return;          // overtaken, or the run is gone: the monitor says so
        heads.show(answer, run);
        story.show(answer.story);
    };
    return {
        // The run that is shown, whether heads were scored since the last update, and whether there were any new rows.
        update(shown, scored, rows) {
            const another = shown !== run;
            if (another) {
                run = shown;
                requests.drop();
                heads.element.hidden = story.element.hidden = true;
                story.begin(run);
            }
            if (run && (another || scored || (rows && story.goesOn() && performance.now() - loadedAt > gpt.STORY_EVERY))) load();
        },
        follow: heads.follow,
    };
};

// The chart of the heads' scores, its legend, and a sentence for each head that got a role.
gpt.formingHeads = function (choices, changed) {
    const title = gpt.wrap("div", "gpt-title", gpt.make("span", "", "Heads forming")), chart = gpt.make("div", "gpt-chart");
    const key = gpt.make("p", "gpt-key"), hint = gpt.make("p", "gpt-small"), note = gpt.make("p", "gpt-small"), formed = gpt.make("ul", "gpt-formed");
    const element = gpt.wrap("div", "", title, chart, key, hint, note, formed), plot = gpt.plot(chart, { height: 240, label: "scores of heads over steps",
        name: () => `${shownRun} heads forming ${score.value}` });
    const score = gpt.select(title, "score", choices.scores);
    let axis = { range: null, log: "linear" }, whole = null, shownRun = "";
    const setAxis = () => {
        const places = plot.figure.layout.annotations.filter(({ xref }) => xref !== "paper");
        for (const note of places) {                                 // a logarithmic axis takes logarithms for annotations
            note.step ??= note.x;
            note.x = axis.log === "log" ? Math.log10(Math.max(note.step, 1)) : note.step;
        }
        const [from, to] = axis.range ?? (axis.log === "log" ? [Math.max(whole[0], 1), whole[1]] : whole);
        Object.assign(plot.figure.layout.xaxis, { type: axis.log, range: axis.log === "log" ? [Math.log10(Math.max(from, 1)), Math.log10(to)] : [from, to] });
    };
    score.onchange = changed;
    formed.tabIndex = 0;
    formed.setAttribute("aria-label", "heads that have formed");

    return {
        element, score: () => score.value,
        show(answer, run) {
            element.hidden = !answer.figure;
            shownRun = run;
            if (answer.figure) {
                answer.figure.layout.uirevision = `${run} ${score.value}`;
                whole = answer.figure.layout.xaxis.range ?? [0, Math.max(...answer.figure.data[0].x, 2)];
                plot.figure = answer.figure;
                setAxis();
                plot.show(answer.figure);
            }
            key.replaceChildren(...answer.key.map(([label, colour, count]) => gpt.legendEntry(colour, `${label} ${count}`)));
            hint.textContent = answer.hint;
            note.textContent = answer.note;
            formed.replaceChildren(...answer.formed.map((sentence) => gpt.make("li", "", sentence)));
            formed.hidden = !answer.formed.length;
        },
        // The loss chart was zoomed to this range of steps (null: all of them), on an axis of this type: the same here.
        follow({ range, log }) {
            axis = { range, log };
            if (!plot.figure) return;
            setAxis();
            plot.draw();
        },
    };
};

// The experiment on letters written twice: its sentences, and a button that takes its heads out.
gpt.formingStory = function (server, mark) {
    const sentences = gpt.live(gpt.make("ol")), outcome = gpt.live(gpt.make("p", "gpt-sentence"));
    const takeOut = gpt.button("Take these heads out", async () => {
        takeOut.disabled = true;
        outcome.textContent = "Measuring the loss with these heads and without them.";
        const measured = run, answer = await server.take_out({ run });
        takeOut.disabled = false;
        if (measured !== run) return;
        outcome.textContent = answer ? answer.error ?? answer.sentence : "The server did not answer: try again.";
        if (answer?.lines) mark(answer.lines);
    });
    const element = gpt.wrap("div", "gpt-story", sentences, takeOut, outcome);
    let run = null, goesOn = false;
    return {
        element, goesOn: () => goesOn,
        begin(another) {
            run = another;
            goesOn = false;
            outcome.textContent = "";
        },
        show(story) {
            goesOn = Boolean(story) && !story.over;
            element.hidden = !story?.sentences.length;
            sentences.replaceChildren(...(story?.sentences ?? []).map((sentence) => gpt.make("li", "", sentence)));
            takeOut.hidden = !story?.can_take_out;
        },
    };
};
