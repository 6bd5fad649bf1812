// Heads that form: a line a head under the loss, the sentences of those that have got a role, and the experiment on letters written
// twice. What is drawn is asked anew whenever heads were scored: see gpt/ui/tabs/head_formation.py.

gpt.STORY_EVERY = 1500;                                              // ms between two tellings of an experiment in progress
// gpt.forming(element, server, choices, mark) -> {look(run, news), follow(range), narrow}. `mark(lines)` draws [[loss, words]] into the loss chart.
gpt.forming = function (element, server, choices, mark) {
    const title = gpt.make("div", "gpt-title"), option = gpt.make("label", "gpt-option"), select = gpt.make("select");
    const heads = gpt.make("div"), chart = gpt.make("div", "gpt-chart"), key = gpt.make("p", "gpt-key"), hint = gpt.make("p", "gpt-small");
    const formed = gpt.make("ul", "gpt-formed"), note = gpt.make("p", "gpt-small"), story = gpt.make("div", "gpt-story");
    const takeOut = gpt.make("button", "gpt-link", "Take these heads out"), outcome = gpt.make("p", "gpt-sentence");
    const sentences = gpt.make("ol");
    sentences.setAttribute("role", "status");
    outcome.setAttribute("role", "status");
    formed.tabIndex = 0;
    formed.setAttribute("aria-label", "heads that have formed");
    select.append(...choices.scores.map((name) => gpt.make("option", "", name)));
    option.append("score ", select);
    title.append(gpt.make("span", "", "Heads forming"), option);
    heads.append(title, chart, key, hint, note, formed);
    story.append(sentences, takeOut, outcome);
    element.append(story, heads);
    heads.hidden = story.hidden = true;
    const plot = gpt.plot(chart, { height: 240, label: "scores of heads over steps" });
    let run = null, question = 0, askedAt = 0, tells = false;

    const ask = async () => {
        const mine = ++question;
        askedAt = performance.now();
        const answer = await server.forming({ run, score: select.value });
        if (mine !== question || !answer || answer.error) return;    // overtaken, or the run is gone: the monitor tells
        heads.hidden = !answer.figure;
        if (answer.figure) {
            answer.figure.layout.uirevision = `${run} ${select.value}`;
            plot.show(answer.figure);
        }
        key.replaceChildren(...answer.key.map(([label, colour, count]) => {
            const entry = gpt.make("span"), mark = gpt.make("i");
            mark.style.background = colour;
            entry.append(mark, `${label} ${count}`);
            return entry;
        }));
        hint.textContent = answer.hint;
        note.textContent = answer.note;
        formed.replaceChildren(...answer.formed.map((sentence) => gpt.make("li", "", sentence)));
        formed.hidden = !answer.formed.length;
        tells = Boolean(answer.story) && !answer.story.over;
        story.hidden = !answer.story?.sentences.length;
        sentences.replaceChildren(...(answer.story?.sentences ?? []).map((sentence) => gpt.make("li", "", sentence)));
        takeOut.hidden = !answer.story?.can_take_out;
    };

    takeOut.onclick = async () => {
        takeOut.disabled = true;
        outcome.textContent = "Measuring the loss with these heads and without them.";
        const of = run, answer = await server.take_out({ run });
        takeOut.disabled = false;
        if (of !== run) return;
        outcome.textContent = answer ? answer.error ?? answer.sentence : "The server did not answer: try again.";
        if (answer?.lines) mark(answer.lines);
    };

    select.onchange = ask;
    return {
        // The run that is watched, and whether heads were scored since the last look.
        look(watched, news, rows) {
            if (watched !== run) {
                run = watched;
                question += 1;                                       // an answer about another run is no longer waited for
                heads.hidden = story.hidden = true;
                outcome.textContent = "";
                news = true;
            }
            if (run && (news || (rows && tells && performance.now() - askedAt > gpt.STORY_EVERY))) ask();
        },
        follow(range) {                                              // the loss chart was zoomed: the same steps here
            if (!plot.figure || !range) return;
            plot.figure.layout.xaxis.range = range;
            plot.draw();
        },
    };
};
