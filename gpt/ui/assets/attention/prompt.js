// The prompt as a picture: its tokens, each to be selected, shaded by how much the selected one reads of them, or the one under the pointer.
// Arrow keys move the selection.

gpt.READ_BY = [["head", "this head"], ["layer", "all heads of the layer"]];
gpt.MOST_READ = 3;                                                   // tokens that are named below, the most read first

gpt.promptStrip = function (place, explorer) {
    const settings = gpt.make("div", "gpt-settings gpt-left"), words = gpt.make("div", "gpt-words"), about = gpt.make("p", "gpt-small");
    const by = gpt.select(settings, "tokens shaded by what the selected one reads in", gpt.READ_BY), requests = gpt.requests();
    let tokens = null, weights = null;                               // weights: bytes, the rows up to the diagonal, one after the other
    words.setAttribute("role", "group");
    words.setAttribute("aria-label", "Tokens of the prompt. Arrow keys select one.");
    place.append(settings, words, about);

    const shade = (query) => {
        if (!weights) return;
        const row = tokens.map((_, k) => (k <= query ? gpt.numberAt(weights, query, k) / 255 : 0));
        [...words.children].forEach((button, k) => button.style.setProperty("--share", row[k].toFixed(3)));
        about.replaceChildren(...gpt.readingOf(tokens, row, query));
    };
    const draw = () => {
        if (tokens !== explorer.value.tokens) {
            [tokens, weights] = [explorer.value.tokens, null];
            words.replaceChildren(...gpt.tokenButtons(explorer));
            about.replaceChildren();
        }
        const { query } = explorer.selected;
        [...words.children].forEach((button, i) => {
            button.setAttribute("aria-pressed", String(i === query));
            button.tabIndex = i === query ? 0 : -1;
        });
        shade(query);
    };
    const select = async () => {
        const isNewest = requests.begin(), { layer, head } = explorer.selected;
        draw();
        const answer = await explorer.ask("reads", { layer, head: by.value === "head" ? head : null });
        if (!isNewest() || !answer) return;
        weights = gpt.unpack(answer.weights);
        shade(explorer.selected.query);
    };
    by.onchange = select;

    const indexOf = (element) => [...words.children].indexOf(element);
    words.addEventListener("pointerover", ({ target }) => indexOf(target) >= 0 && shade(indexOf(target)));
    words.addEventListener("pointerleave", () => tokens && shade(explorer.selected.query));
    gpt.onArrowKey(words, (dx, dy) => {
        if (!tokens) return false;
        const query = gpt.clamp(explorer.selected.query + dx + dy, tokens.length);
        explorer.select({ query });
        words.children[query].focus();
    });
    return { select, drop: () => requests.drop() };
};

// The tokens as buttons.
gpt.tokenButtons = function (explorer) {
    return explorer.value.tokens.map((label, i) => {
        const token = gpt.button(label, () => explorer.select({ query: i }), "gpt-word");
        token.title = label;
        return token;
    });
};

// "·fox (position 5) reads ·the 62 %, ..."
gpt.readingOf = function (tokens, row, query) {
    const most = row.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]).slice(0, gpt.MOST_READ).filter(([share]) => share >= 0.01);
    return [gpt.make("code", "", tokens[query]), ` (position ${query}) reads `, ...most.flatMap(([share, k], i) =>
        [i ? ", " : "", gpt.make("code", "", tokens[k]), ` ${gpt.percent(share)}`])];
};
