// The panel Tokens: a text as coloured tokens, for one tokenizer or two, with numbers about each, and how a token came to be.

// {error} or {sides: [{name, ids, kinds: {id: {label, bytes, part, steps}}, made, facts: [[number, label]], frequent, longest: [[id, text]]}]}
gpt.views.tokens = function (element, props, { watch }) {
    const show = () => {
        const { error, sides = [] } = props.value || {};
        element.replaceChildren(...(error ? [gpt.make("p", "gpt-error", error)] : sides.map(gpt.tokenSide)));
        element.classList.toggle("gpt-two-sides", sides.length > 1);
    };
    watch("value", show);
    show();
};

gpt.tokenSide = function (side) {
    const about = gpt.live(gpt.wrap("div", "gpt-token-about")), place = gpt.make("div", "gpt-cut-text");
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", `${side.ids.length} tokens of ${side.name}; arrow keys move from one to the next`);
    let chosen = null;
    const choose = (id, token) => {
        chosen?.removeAttribute("aria-current");
        chosen = token;
        chosen?.setAttribute("aria-current", "true");
        about.replaceChildren(...gpt.aboutToken(side, id));
    };
    const tokens = side.ids.map((id, i) => gpt.cutToken(side, id, i, choose));
    place.append(...tokens);
    gpt.onArrowKey(place, (dx) => {
        if (!dx || !tokens.length) return false;
        const next = gpt.clamp(tokens.indexOf(chosen) + dx, tokens.length);
        choose(side.ids[next], tokens[next]);
        tokens[next].scrollIntoView({ block: "nearest" });
    });
    const heading = gpt.make("h3", "", `${side.name}: ${side.ids.length.toLocaleString("en")} tokens`);
    about.append(gpt.make("p", "gpt-small", "Point at a token, or use the arrow keys: its number, its bytes, and how it came to be."));
    return gpt.wrap("section", "gpt-token-side", heading, place, about, gpt.tokenFacts(side.facts),
        gpt.tokenTable("most frequent", side, side.frequent, choose), gpt.tokenTable("longest", side, side.longest, choose));
};

// A token: its colour tells it from its neighbours, a dashed edge says that it is only a part of a character.
gpt.cutToken = function (side, id, i, choose) {
    const kind = side.kinds[id];
    const token = gpt.make("span", `gpt-cut gpt-cut-${i % 5}${kind.part ? " gpt-cut-part" : ""}`, kind.label);
    token.title = `${id}: ${kind.bytes || "no bytes"}`;
    token.onclick = token.onpointerenter = () => choose(id, token);
    return kind.label.includes("\u23ce") ? gpt.wrap("span", "gpt-cut-line", token) : token;
};

gpt.aboutToken = function (side, id) {
    const { label, bytes, part, steps } = side.kinds[id];
    const what = part ? ", a part of a character" : "";
    const parts = [gpt.wrap("p", "", gpt.make("b", "gpt-mono", label), ` token ${id}, bytes ${bytes || "none"}${what}; ${side.made}.`)];
    if (steps.length > 1) {
        parts.push(gpt.wrap("ol", "gpt-merges", ...steps.map((row) => gpt.wrap("li", "", ...row.map((piece) => gpt.make("span", "gpt-cut", piece))))));
    }
    return parts;
};

gpt.tokenFacts = function (facts) {
    return gpt.wrap("p", "gpt-price", ...facts.flatMap(([number, label], i) => [i ? " \u00b7 " : "", gpt.make("b", "", number), ` ${label}`]));
};

gpt.tokenTable = function (name, side, rows, choose) {
    return gpt.wrap("p", "gpt-small", `${name}: `, ...rows.flatMap(([id, text]) => {
        const token = gpt.button(side.kinds[id].label, () => choose(id, null), "gpt-cut gpt-mono");
        return [token, ` ${text}  `];
    }));
};
