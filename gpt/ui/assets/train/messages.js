// What a run says in words: what its loss means, its samples, its warnings.

gpt.MOST_SAMPLES = 20;

// What the loss says: a sentence on what has been learned, and advice where something goes wrong. Asked for anew with each evaluation.
gpt.lossReading = function (server, compareWith) {
    const meaning = gpt.live(gpt.make("p", "gpt-sentence")), advice = gpt.live(gpt.make("p", "gpt-advice")), requests = gpt.requests();
    return {
        element: gpt.wrap("div", "", meaning, advice),
        forget() {
            requests.drop();
            meaning.textContent = advice.textContent = "";
        },
        async update(run) {
            const isNewest = requests.begin(), answer = await server.read_loss({ run });
            if (!isNewest() || !answer || answer.error) return;      // overtaken, or the run is gone: the monitor says so
            compareWith(answer.lines);
            meaning.textContent = answer.meaning;
            advice.textContent = answer.advice;
        },
    };
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
