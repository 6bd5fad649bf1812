// What it does: heads are taken out of the model, and what it loses without them is measured. One head alone, several, or all in turn.

gpt.NOT_MEASURED = "It could not be measured: the reason stands at the top.";
gpt.REPLACED_BY = [["mean", "its mean"], ["zero", "zero"]];          // a head that is taken out

gpt.panels.push({
    order: 2,
    title: "What it does",
    build(element, explorer) {
        const sentence = gpt.live(gpt.make("p", "gpt-sentence")), status = gpt.make("p", "gpt-small"), results = gpt.make("div");
        const settings = gpt.make("div", "gpt-settings gpt-taking"), every = gpt.make("div");
        const replace = gpt.select(settings, "its output is replaced by", gpt.REPLACED_BY);
        const show = (answer, text) => {
            status.textContent = text;
            sentence.textContent = answer?.sentence || "";
            results.replaceChildren(...(answer ? gpt.effectOf(answer) : []));
        };
        const measure = gpt.oneAtATime((isNewest) => measureOnce(isNewest));
        const grid = gpt.headGrid(explorer, measure);
        replace.onchange = measure;
        settings.append(grid.reset);
        element.append(gpt.make("p", "gpt-small", "Taken out:"), grid.element, settings, sentence, status, results, every);
        const sweep = gpt.sweep(every, explorer, () => replace.value);

        let shown = {};                                              // the request whose answer is shown, and the inspection it was made of
        const measureOnce = async (isNewest) => {
            const heads = grid.heads(), request = { heads, replace: replace.value, query: explorer.selected.query };
            const text = JSON.stringify(request), value = explorer.value;
            if (text === shown.text && value === shown.value) return;
            shown = {};
            delete element.dataset.shown;
            if (!heads.length) return show(null, "Choose at least one head above, or a whole layer.");
            const slow = setTimeout(() => { status.textContent = "The model is measured without it."; }, 400);
            const answer = await explorer.ask("effect", request);
            clearTimeout(slow);
            if (!isNewest()) return;
            if (answer) shown = { text, value };
            show(answer, answer ? "" : gpt.NOT_MEASURED);
            if (answer) element.dataset.shown = `${heads.join(" ")} ${replace.value}`;
        };
        const select = () => {
            grid.show();
            return measure();
        };
        return {
            select,
            show() {
                sweep.show();
                return select();
            },
        };
    },
});

// What each kind of token lost on average; [[kind, nats, count]], the largest first, empty for a text whose kinds are not known.
gpt.kindsOf = function (kinds, column) {
    if (!kinds.length) return [];
    const largest = Math.max(...kinds.map(([, change]) => Math.abs(change)));
    const rows = kinds.map(([kind, change, count]) => {
        const row = gpt.bar(kind, Math.max(change, 0) / largest, `${gpt.signed(change)}, ${count}`, `${count} tokens`);
        row.classList.add("gpt-wide-number");
        return row;
    });
    const kindColumn = column("By what is to be predicted: nats on average, and how many tokens", ...rows);
    kindColumn.classList.add("gpt-kinds");
    return [kindColumn];
};

// {harder_tokens: [[label, nats, count]], kinds, after, next: [[label, before, after]], how, prompt, whole, without: [[text, differs]]} as elements.
gpt.effectOf = function (answer) {
    const column = (title, ...rows) => gpt.wrap("div", "", gpt.make("p", "gpt-small", title), ...rows);
    const largest = Math.max(...answer.harder_tokens.map(([, change, count]) => change * count));
    const harder_tokens = answer.harder_tokens.map(([label, change, count]) => {
        const times = count === 1 ? "once" : `${count} times`;
        const total = change * count, title = `${total.toFixed(3)} nats worse in all`;
        const row = gpt.bar(label, total / largest, `${gpt.signed(change)}, ${times}`, title);
        row.classList.add("gpt-wide-number");
        return row;
    });
    const next = answer.next.map(([label, before, after]) => {
        const percent = (share) => `${(100 * share).toFixed(1)} %`;
        const row = gpt.bar(label, before, `${percent(before)} \u2192 ${percent(after)}`), pair = gpt.make("span", "gpt-both");
        const first = row.children[1], second = first.cloneNode(true);
        second.firstChild.style.width = `${100 * after}%`;
        row.classList.add("gpt-wide-number");
        first.replaceWith(pair);
        pair.append(first, second);
        return row;
    });
    const key = gpt.make("p", "gpt-small", "What follows ");
    const [before, after] = ["gpt-before", "gpt-after"].map((name) => gpt.make("i", name));
    key.append(gpt.make("code", "", answer.after), ": ", before, " the whole model, ", after, " without");
    const follows = gpt.make("div");
    follows.append(key, ...next);
    const written = (pieces) => {
        const text = gpt.make("p", "gpt-written");
        text.append(gpt.make("span", "gpt-prompt", answer.prompt));
        text.append(...pieces.map(([piece, differs]) => gpt.make("span", differs ? "gpt-differs" : "", piece)));
        return text;
    };
    const numbers = gpt.make("div", "gpt-panes"), texts = gpt.make("div", "gpt-panes");
    const none = harder_tokens.length ? [] : [gpt.make("p", "gpt-small", "No token became harder to predict.")];
    const title = "Harder to predict, the largest sum first: nats on average, and how often they came";
    numbers.append(gpt.wrap("div", "", ...gpt.kindsOf(answer.kinds, column), column(title, ...harder_tokens, ...none)), follows);
    texts.append(column("The whole model", written(answer.whole)), column("Without", written(answer.without)));
    return [numbers, gpt.make("p", "gpt-small gpt-apart", answer.how), texts];
};
