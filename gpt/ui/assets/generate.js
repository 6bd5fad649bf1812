// The Generate tab: the prompt and what is written, one piece of text; each token's background by its probability on demand.

// {id, prompt, pieces, note, done, error, run, place, read, most}; pieces has a line of JSON each: {text, token, probability, surprisal,
// likeliest: [[label, the model's probability, after temperature, after the cuts, chosen]]}, and only grows while id stays the same.
gpt.views.writing = function (element, props, { watch }) {
    const error = gpt.make("p", "gpt-error"), status = gpt.live(gpt.make("p", "gpt-small")), side = gpt.make("div", "gpt-next");
    let pieces = [], read = 0;                                      // characters of value.pieces that are drawn
    const text = gpt.writtenText((index) => {
        if (pieces[index]?.likeliest?.length) side.replaceChildren(...gpt.expectedTokens(pieces[index], () => inspect(index)));
    }, (index) => inspect(index));
    const coloured = gpt.checkbox(true, (on) => text.element.classList.toggle("gpt-coloured", on));
    coloured.id = "colour-tokens";
    coloured.onchange();
    element.replaceChildren(error, gpt.wrap("div", "gpt-page", text.element, side), status,
        gpt.wrap("label", "gpt-option", coloured, " colour tokens by probability"));

    // Inspect what the model read when it chose a token: its ids, and no text, which could be cut into other tokens.
    const inspect = (index) => {
        const { run, place, read, most } = props.value, { token, probability, likeliest } = pieces[index];
        if (!likeliest.length) return;
        const ids = [...read, ...pieces.slice(0, index).map((piece) => piece.token)].slice(-most);
        gpt.replay.go({ run, place, ids, wrote: token, probability });
    };

    // A writing that was stopped ends without a last message from Python, and what was under way may still arrive.
    let stopped = null;
    document.addEventListener("click", (event) => {
        if (!event.target.closest?.("#stop-writing")) return;
        stopped = props.value?.id;
        show();
    });

    let shown;                                                      // the id of the writing that is shown
    const show = () => {
        const value = props.value || { note: "Press Generate, or Ctrl+Enter: the run goes on with the prompt." };
        const lines = value.pieces || "", cut = value.id && value.id === stopped && !value.done;
        error.textContent = value.error || "";
        status.textContent = cut ? value.note.replace("Writing,", "Stopped after") : value.note || "";
        if (value.id !== shown || lines.length < read) {
            [shown, pieces, read] = [value.id, [], 0];
            text.begin(value.prompt || "");
            side.replaceChildren();
        }
        for (const line of lines.slice(read).split("\n")) {         // only what is new: drawing all would take ever longer
            if (!line) continue;
            pieces.push(JSON.parse(line));
            text.add(pieces.at(-1), pieces.length - 1);
        }
        read = lines.length;
        text.end(pieces.length - 1);
    };
    watch("value", show);
    show();
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
