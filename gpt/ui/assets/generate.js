// The Generate tab: the prompt and what is written, one piece of text; each token's background by its probability on demand.

// {id, columns, writings: [{prompt, pieces, note, done, error, run, weights, seed, place, read, most}]}: each row of `columns` texts has one
// seed. `pieces` has a line of JSON each: {text, token, probability, surprisal, likeliest: [[label, the model's probability, after temperature,
// after the cuts, chosen]]}, and only grows while id stays the same.
gpt.views.writings = function (element, props, { watch }) {
    const texts = gpt.make("div", "gpt-writings"), side = gpt.make("div", "gpt-next");
    const empty = gpt.make("p", "gpt-small", "Press Generate, or Ctrl+Enter: the run goes on with the prompt.");
    const coloured = gpt.checkbox(true, (on) => texts.classList.toggle("gpt-coloured", on));
    const save = gpt.button("Save as .txt", () => gpt.save("generated.txt", "text/plain", gpt.writingsAsText(props.value.writings)));
    coloured.id = "colour-tokens";
    coloured.onchange();
    element.replaceChildren(gpt.wrap("div", "gpt-page", texts, side), gpt.wrap("div", "gpt-settings gpt-left",
        gpt.wrap("label", "gpt-option", coloured, " colour tokens by probability"), save, gpt.copyLink()));

    // A writing that was stopped ends without a last message from Python, and what was under way may still arrive.
    let stopped = null, shown, writings = [];                       // the id that is shown, and its texts
    document.addEventListener("click", (event) => {
        if (!event.target.closest?.("#stop-writing")) return;
        stopped = props.value?.id;
        show();
    });
    const show = () => {
        const { id = null, columns = 1, writings: values = [] } = props.value || {};
        if (id !== shown || writings.length !== values.length) {
            shown = id;
            side.replaceChildren();
            writings = values.map((_, i) => gpt.writing(values.length > 1, i === 0, (...shown) => side.replaceChildren(...shown)));
            texts.replaceChildren(...(id === null ? [empty] : writings.map(({ element }) => element)));
            texts.style.setProperty("--columns", columns > 1 ? columns : Math.min(values.length, 2) || 1);
        }
        values.forEach((value, i) => writings[i].show(value, id !== null && id === stopped));
        save.disabled = !values.some(({ pieces }) => pieces);
    };
    watch("value", show);
    show();
};

// One text as it grows -> {element, show(value, isStopped)}. `isOneOfMany`: it says whose it is; `isFirst`: as it grows, explain(...elements)
// tells what the model expected at its end; in any text, at the token under the pointer.
gpt.writing = function (isOneOfMany, isFirst, explain) {
    const whose = gpt.make("p", "gpt-small"), error = gpt.live(gpt.make("p", "gpt-error")), status = gpt.live(gpt.make("p", "gpt-small"));
    let pieces = [], read = 0, value = {};                          // characters of value.pieces that are drawn
    // Inspect what the model read when it chose a token: its ids, and no text, which could be cut into other tokens.
    const inspect = (index) => {
        const { token, probability, likeliest } = pieces[index];
        if (!likeliest.length) return;
        const ids = [...value.read, ...pieces.slice(0, index).map((piece) => piece.token)].slice(-value.most);
        gpt.replay.go({ run: value.run, place: value.place, ids, wrote: token, probability });
    };
    const text = gpt.writtenText((index) => {
        if (pieces[index]?.likeliest?.length) explain(...gpt.expectedTokens(pieces[index], () => inspect(index)));
    }, inspect);
    return {
        element: gpt.wrap("div", "gpt-writing", ...(isOneOfMany ? [whose] : []), error, text.element, status),
        show(now, isStopped) {
            if (!read) text.begin(now.prompt || "");
            value = now;
            error.textContent = now.error || "";
            whose.textContent = now.weights ? `${now.weights}, seed ${now.seed}` : "";
            status.textContent = isStopped && !now.done ? (now.note || "").replace("Writing,", "Stopped after") : now.note || "";
            for (const line of (now.pieces || "").slice(read).split("\n")) {  // only what is new: drawing all would take ever longer
                if (!line) continue;
                pieces.push(JSON.parse(line));
                text.add(pieces.at(-1), pieces.length - 1);
            }
            read = now.pieces?.length ?? 0;
            if (isFirst) text.end(pieces.length - 1);
        },
    };
};

// All texts for a file; of several, each says whose it is.
gpt.writingsAsText = function (writings) {
    const texts = writings.filter(({ pieces }) => pieces).map(({ prompt, pieces, weights, seed }) => {
        const text = prompt + pieces.split("\n").filter(Boolean).map((line) => JSON.parse(line).text).join("");
        return writings.length > 1 ? `[${weights}, seed ${seed}]\n${text}` : text;
    });
    return texts.join("\n\n") + "\n";
};

// The text, a token a span. describe(index) is called for the token under the pointer or the keyboard, unless one is held by a click;
// inspect(index) for a double click or Enter.
gpt.writtenText = function (describe, inspect) {
    const element = gpt.make("p", "gpt-written");
    let held = null;
    const hold = (index) => {
        held = index;
        for (const span of element.querySelectorAll("[aria-pressed=true]")) span.setAttribute("aria-pressed", "false");
        element.querySelector(`[data-index="${index}"]`)?.setAttribute("aria-pressed", "true");
    };

    const indexOf = (event) => (event.target.dataset?.index === undefined ? null : Number(event.target.dataset.index));
    element.addEventListener("pointerover", (event) => held === null && describe(indexOf(event)));
    element.addEventListener("focusin", (event) => (held === null || event.target.matches(":focus-visible")) && describe(indexOf(event)));
    element.addEventListener("click", (event) => {
        const index = indexOf(event);
        if (index === null || event.detail > 1) return;              // the second click of two goes to Attention
        hold(index === held ? null : index);
        describe(index);
    });
    element.addEventListener("dblclick", (event) => indexOf(event) !== null && inspect(indexOf(event)));
    element.addEventListener("keydown", (event) => {
        const index = indexOf(event);
        if (index === null || event.ctrlKey || event.metaKey) return;
        if (event.key === "Enter") inspect(index);
        if (event.key !== " ") return;
        event.preventDefault();                                      // a space would scroll the page
        hold(index === held ? null : index);
    });

    return {
        element,
        begin(prompt) {                                              // another text
            held = null;
            element.replaceChildren(gpt.make("span", "gpt-prompt", prompt));
        },
        add: (piece, index) => element.append(gpt.writtenToken(piece, index)),
        end(last) {                                                  // as far as it goes now
            if (held === null && last >= 0) describe(last);
        },
    };
};

gpt.writtenToken = function (piece, index) {
    const span = gpt.make("span", "gpt-token", piece.text);
    span.tabIndex = 0;
    span.setAttribute("role", "button");
    span.setAttribute("aria-pressed", "false");
    span.dataset.index = index;
    span.style.setProperty("--certainty", piece.probability.toFixed(3));
    span.setAttribute("aria-label", `${piece.text}, probability ${(100 * piece.probability).toFixed(0)} %, surprisal ${piece.surprisal.toFixed(2)} nats`);
    return span;
};

// What the model expected where a token was written: three bars a token, a sentence about the chosen one, and a link to the heads.
gpt.expectedTokens = function (piece, inspect) {
    const stages = ["the model itself", "after temperature and repetition penalty", "after top_k, top_p and min_p"];
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const fill = (i, share) => {
        const part = gpt.make("i", `gpt-stage-${i}`);
        if (share !== undefined) part.style.width = `${100 * share}%`;
        return part;
    };
    const key = gpt.wrap("div", "gpt-key", ...stages.map((name, i) => gpt.wrap("span", "", fill(i), name)));
    const rows = piece.likeliest.map(([label, ...shares]) => {
        const chosen = shares.pop(), row = gpt.bar(label, shares[0], percent(shares[0]), stages.map((name, i) => `${name} ${percent(shares[i])}`).join(", "));
        row.classList.add("gpt-stages");
        row.classList.toggle("gpt-chosen", chosen);
        row.children[1].replaceChildren(...shares.map((share, i) => fill(i, share)));
        return row;
    });
    const [label, own, tempered, truncated] = piece.likeliest.find((row) => row[4]);
    const sentence = gpt.wrap("p", "gpt-small", gpt.make("code", "", label), ` was written. The model itself gave it ${percent(own)}, a surprisal of `
        + `${piece.surprisal.toFixed(2)} nats; temperature made that ${percent(tempered)}, and the cuts ${percent(truncated)}.`);
    return [gpt.make("p", "gpt-small", "What the model expected here"), key, ...rows, sentence, gpt.button("Inspect this step in Attention", inspect)];
};
