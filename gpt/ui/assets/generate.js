// The Generate tab: the prompt and what is written, one piece of text; each token's background by its probability on demand.

// {prompt, pieces: [{text, probability, likeliest: [[label, probability]]}], note, speed, done, error}
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

    let pieces = [];
    const show = () => {
        const value = props.value || { note: "Press Generate, or Ctrl+Enter: the run goes on with the prompt." };
        error.textContent = value.error || "";
        status.textContent = value.note || "";
        pieces = value.pieces || [];
        const written = pieces.map((piece, i) => {
            const span = gpt.make("span", "gpt-token", piece.text);
            span.tabIndex = 0;
            span.dataset.index = i;
            span.style.setProperty("--certainty", piece.probability.toFixed(3));
            span.setAttribute("aria-label", `${piece.text}, probability ${(100 * piece.probability).toFixed(0)} %`);
            return span;
        });
        text.replaceChildren(gpt.make("span", "gpt-prompt", value.prompt || ""), ...written);
        if (!pieces.length) side.replaceChildren();
        else tell(pieces.at(-1));
    };
    for (const kind of ["pointerover", "focusin"]) {
        text.addEventListener(kind, (event) => tell(pieces[event.target.dataset?.index]));
    }
    watch("value", show);
    show();
};
