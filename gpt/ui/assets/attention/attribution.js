// The prediction after the selected token as a sum: a signed bar for each part of the model.

gpt.MOST_PARTS = 16;                                                 // shown, unless a person asks for all

// The server's answer: {tokens: [[number, label, probability, whether it is the true next one]], token, parts: [[name, amount, layer, head]],
// sentence}.
gpt.attribution = function (element, explorer) {
    const settings = gpt.make("span", "gpt-settings"), sentence = gpt.live(gpt.make("p", "gpt-sentence")), bars = gpt.make("div", "gpt-signed");
    const token = gpt.select(settings, "explain", []), against = gpt.select(settings, "less", []);
    const order = gpt.select(settings, "order", ["largest first", "by layer"]), requests = gpt.requests();
    let answer = null, all = false, query = null;
    const more = gpt.button("", () => {
        all = true;
        draw();
    });
    more.hidden = true;                                              // until there is something to show
    element.append(gpt.wrap("div", "gpt-title", gpt.make("span", "", "Where the prediction comes from")), settings, sentence, bars, more);

    const draw = () => {
        const size = ([, amount]) => Math.abs(amount), largest = Math.max(...answer.parts.map(size), 1e-9), byLayer = order.value === "by layer";
        let shown = byLayer ? answer.parts : [...answer.parts].sort((a, b) => size(b) - size(a));
        const small = all || byLayer ? [] : shown.slice(gpt.MOST_PARTS), sum = small.reduce((sum, [, amount]) => sum + amount, 0);
        if (small.length > 1) shown = shown.slice(0, gpt.MOST_PARTS);
        bars.replaceChildren(...shown.map((part) => gpt.partBar(explorer, part, largest)));
        more.hidden = small.length < 2;
        more.textContent = `and ${small.length} smaller ones, together ${gpt.signedAmount(sum)}: show them`;
    };
    const load = async (request) => {
        const isNewest = requests.begin();
        query = explorer.selected.query;
        const received = await explorer.ask("attribution", { query, ...request });
        if (!isNewest() || !received) return;
        answer = received;
        gpt.fillAttribution(token, against, answer);
        sentence.textContent = answer.sentence;
        draw();
    };
    // Choices that mean the same at every token: the likeliest, the true next one, the mean. A token's number does not.
    const lasting = () => (["mean", "nothing"].includes(against.value) ? against.value : "mean");
    const reload = () => load({ token: token.value === "true" ? "true" : "likeliest", against: against.value ? lasting() : "mean" });
    token.onchange = () => load({ token: token.value, against: lasting() });
    against.onchange = () => load({ token: token.value, against: against.value });
    order.onchange = draw;
    return {
        show: reload,
        select() {
            if (explorer.selected.query !== query) reload();
            else if (answer) draw();                                 // another head may be selected
        },
    };
};

gpt.signedAmount = (amount) => `${amount < 0 ? "−" : "+"}${Math.abs(amount).toFixed(3)}`;

// One part's bar; a head's name selects it.
gpt.partBar = function (explorer, [name, amount, layer, head], largest) {
    const fill = gpt.make("i", amount < 0 ? "gpt-against" : "");
    fill.style.width = `${50 * Math.abs(amount) / largest}%`;
    const label = head === null ? gpt.make("span", "", name) : gpt.button(name, () => explorer.select({ layer, head }));
    const row = gpt.wrap("div", "gpt-signed-row", label, gpt.wrap("span", "gpt-signed-track", fill), gpt.make("span", "gpt-number", gpt.signedAmount(amount)));
    row.classList.toggle("gpt-chosen", head !== null && layer === explorer.selected.layer && head === explorer.selected.head);
    return row;
};

gpt.fillAttribution = function (token, against, answer) {
    gpt.fillSelect(token, answer.tokens.map(([number, label, share, isTrue]) =>
        [isTrue ? "true" : String(number), `${label} ${(100 * share).toFixed(1)} %${isTrue ? ", the true next" : ""}`]));
    const [, , , isTrue] = answer.tokens.find(([number]) => number === answer.token);
    token.value = isTrue ? "true" : String(answer.token);
    const before = against.value, others = answer.tokens.filter(([number]) => number !== answer.token);
    gpt.fillSelect(against, [["mean", "the mean of all tokens"], ["nothing", "nothing"], ...others.map(([number, label]) => [String(number), `that of ${label}`])]);
    against.value = [...against.options].some(({ value }) => value === before) ? before : "mean";
};
