// The Generate tab: the prompt and what is written, one piece of text; each token's background by its probability on demand.

// {id, prompt, pieces, note, done, error}; pieces has a line of JSON each: {text, probability, likeliest: [[label, probability, chosen]]},
// and only grows while id stays the same.
gpt.views.writing = function (element, props, { watch }) {
    const error = gpt.make("p", "gpt-error"), page = gpt.make("div", "gpt-page");
    const text = gpt.make("p", "gpt-written"), side = gpt.make("div", "gpt-next"), status = gpt.make("p", "gpt-small");
    const option = gpt.make("label", "gpt-option"), coloured = gpt.make("input");
    coloured.type = "checkbox";
    coloured.checked = true;
    coloured.id = "colour-tokens";
    option.append(coloured, " colour tokens by probability");
    status.setAttribute("role", "status");
    page.append(text, side);
    element.replaceChildren(error, page, status, option);

    coloured.onchange = () => text.classList.toggle("gpt-coloured", coloured.checked);
    coloured.onchange();

    const tell = (piece) => {
        if (!piece?.likeliest?.length) return;
        const rows = piece.likeliest.map(([label, probability, chosen]) => {
            const row = gpt.make("div", chosen ? "gpt-bar-row gpt-chosen" : "gpt-bar-row"), bar = gpt.make("span", "gpt-bar-fill");
            bar.style.width = `${100 * probability}%`;
            row.append(gpt.make("code", "", label), gpt.make("span", "gpt-bar-track"), gpt.make("span", "gpt-number", `${(100 * probability).toFixed(1)} %`));
            row.children[1].append(bar);
            return row;
        });
        side.replaceChildren(gpt.make("p", "gpt-small", "What the model expected here"), ...rows);
    };

    // A stopped writing ends without a last word from Python, and what was under way may still arrive: it is told here.
    let stopped = null;
    document.addEventListener("click", (event) => {
        if (!event.target.closest?.("#stop-writing")) return;
        stopped = props.value?.id;
        show();
    });

    let pieces = [], read = 0;                                      // characters of value.pieces that are drawn
    const show = () => {
        const value = props.value || { note: "Press Generate, or Ctrl+Enter: the run goes on with the prompt." };
        const lines = value.pieces || "";
        error.textContent = value.error || "";
        const cut = value.id && value.id === stopped && !value.done;
        status.textContent = cut ? value.note.replace("Writing,", "Stopped after") : value.note || "";
        if (value.id !== text.dataset.id || lines.length < read) {
            text.replaceChildren(gpt.make("span", "gpt-prompt", value.prompt || ""));
            side.replaceChildren();
            text.dataset.id = value.id;
            pieces = [], read = 0;
        }
        for (const line of lines.slice(read).split("\n")) {         // only what is new: drawing all would take ever longer
            if (!line) continue;
            pieces.push(JSON.parse(line));
            text.append(token(pieces.at(-1), pieces.length - 1));
        }
        read = lines.length;
        if (pieces.length) tell(pieces.at(-1));
    };

    const token = (piece, index) => {
        const span = gpt.make("span", "gpt-token", piece.text);
        span.tabIndex = 0;
        span.dataset.index = index;
        span.style.setProperty("--certainty", piece.probability.toFixed(3));
        span.setAttribute("aria-label", `${piece.text}, probability ${(100 * piece.probability).toFixed(0)} %`);
        return span;
    };

    for (const kind of ["pointerover", "focusin"]) {
        text.addEventListener(kind, (event) => tell(pieces[event.target.dataset?.index]));
    }
    watch("value", show);
    show();
};
