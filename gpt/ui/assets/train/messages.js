// What a run says in words: what its loss means, its samples, its warnings.

gpt.MOST_SAMPLES = 20;

// What the loss says: a sentence on what has been learned, what of the text has not, and advice where something goes wrong. Asked for anew
// with each evaluation.
gpt.lossReading = function (server, compareWith) {
    const meaning = gpt.live(gpt.make("p", "gpt-sentence")), advice = gpt.live(gpt.make("p", "gpt-advice"));
    const unlearned = gpt.make("div", "gpt-unlearned"), requests = gpt.requests();
    return {
        element: gpt.wrap("div", "", meaning, unlearned, advice),
        forget() {
            requests.drop();
            meaning.textContent = advice.textContent = "";
            unlearned.replaceChildren();
        },
        async update(run) {
            const isNewest = requests.begin(), answer = await server.read_loss({ run });
            if (!isNewest() || !answer || answer.error) return;      // overtaken, or the run is gone: the monitor says so
            compareWith(answer.lines);
            meaning.textContent = answer.meaning;
            advice.textContent = answer.advice;
            unlearned.replaceChildren(...gpt.unlearnedBars(answer.unlearned));
        },
    };
};

// A bar for each kind of token: what it adds to the loss above perfect, in nats per token of the text. [[kind, nats]], the largest first.
gpt.unlearnedBars = function (unlearned) {
    if (!unlearned.length) return [];
    const above = unlearned.reduce((sum, [, nats]) => sum + nats, 0), largest = Math.max(unlearned[0][1], 0.01);
    const title = `Not learned yet: ${above.toFixed(2)} nats above perfect, by what is to be predicted`;
    return [gpt.make("p", "gpt-small", title),
            ...unlearned.map(([kind, nats]) => gpt.bar(kind, Math.max(nats, 0) / largest, nats.toFixed(3)))];
};

// The newest samples above the older ones, and the warnings.
gpt.runMessages = function () {
    const samples = gpt.make("div", "gpt-samples"), warnings = gpt.make("div");
    return {
        samples, warnings,
        add(rows) {
            for (const row of rows.filter(({ kind }) => kind === "sample")) samples.prepend(gpt.sample(row));
            while (samples.children.length > gpt.MOST_SAMPLES) samples.lastChild.remove();
            warnings.append(...rows.filter(({ kind }) => kind === "warning").map(({ text }) => gpt.make("p", "gpt-warning", text)));
        },
        forget() {
            samples.replaceChildren();
            warnings.replaceChildren();
        },
    };
};

gpt.sample = function ({ step, prompt, text }) {
    const written = gpt.wrap("p", "gpt-written", gpt.make("span", "gpt-prompt", prompt), text);
    return gpt.wrap("figure", "gpt-sample", gpt.make("figcaption", "gpt-small", `step ${step.toLocaleString("en")}`), written);
};
