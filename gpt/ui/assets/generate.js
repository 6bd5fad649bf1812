// The Generate tab: the prompt and what is written, one piece of text; each token's background by its probability on demand.

// {id, prompt, pieces, note, done, error, run, place, read, most}; pieces has a line of JSON each: {text, token, probability, surprisal,
// likeliest: [[label, the model's probability, after temperature, after the cuts, chosen]]}, and only grows while id stays the same.
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

    // What the model expected where a token was written: three bars a token, and a way to the heads that led to it.
    const stages = ["the model itself", "after temperature and repetition penalty", "after top_k, top_p and min_p"];
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    const tell = (index) => {
        const piece = pieces[index];
        if (!piece?.likeliest?.length) return;
        const key = gpt.make("div", "gpt-key");
        key.append(...stages.map((name, i) => {
            const entry = gpt.make("span", "", name);
            entry.prepend(gpt.make("i", `gpt-stage-${i}`));
            return entry;
        }));
        const rows = piece.likeliest.map(([label, ...shares]) => {
            const chosen = shares.pop(), row = gpt.bar(label, shares[0], percent(shares[0]), stages.map((name, i) => `${name} ${percent(shares[i])}`).join(", "));
            row.classList.add("gpt-stages");
            row.classList.toggle("gpt-chosen", chosen);
            row.children[1].replaceChildren(...shares.map((share, i) => {
                const fill = gpt.make("i", `gpt-stage-${i}`);
                fill.style.width = `${100 * share}%`;
                return fill;
            }));
            return row;
        });
        const [label, own, tempered, left] = piece.likeliest.find((row) => row[4]);
        const sentence = gpt.make("p", "gpt-small");
        sentence.append(gpt.make("code", "", label), ` was written. The model itself gave it ${percent(own)}, a surprisal of ${piece.surprisal.toFixed(2)} nats; ` +
            `temperature made that ${percent(tempered)}, and the cuts ${percent(left)}.`);
        const link = gpt.make("button", "gpt-link", "Inspect this step in Attention");
        link.onclick = () => look(index);
        side.replaceChildren(gpt.make("p", "gpt-small", "What the model expected here"), key, ...rows, sentence, link);
    };

    // The ids that the model read when it chose a token: no text, which could be cut into other tokens.
    const look = (index) => {
        const { run, place, read, most } = props.value, { token, probability, likeliest } = pieces[index];
        if (!likeliest.length) return;
        const ids = [...read, ...pieces.slice(0, index).map((piece) => piece.token)].slice(-most);
        gpt.replay.go({ run, place, ids, wrote: token, probability });
    };

    // A click keeps a token's details, whatever the pointer passes on its way to them; another click lets them go.
    let kept = null;
    const keep = (index) => {
        kept = index;
        for (const span of text.querySelectorAll("[aria-pressed=true]")) span.setAttribute("aria-pressed", "false");
        text.querySelector(`[data-index="${index}"]`)?.setAttribute("aria-pressed", "true");
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
            pieces = [], read = 0, kept = null;
        }
        for (const line of lines.slice(read).split("\n")) {         // only what is new: drawing all would take ever longer
            if (!line) continue;
            pieces.push(JSON.parse(line));
            text.append(token(pieces.at(-1), pieces.length - 1));
        }
        read = lines.length;
        if (kept === null && pieces.length) tell(pieces.length - 1);
    };

    const token = (piece, index) => {
        const span = gpt.make("span", "gpt-token", piece.text);
        span.tabIndex = 0;
        span.setAttribute("role", "button");
        span.setAttribute("aria-pressed", "false");
        span.dataset.index = index;
        span.style.setProperty("--certainty", piece.probability.toFixed(3));
        const label = `${piece.text}, probability ${(100 * piece.probability).toFixed(0)} %, surprisal ${piece.surprisal.toFixed(2)} nats`;
        span.setAttribute("aria-label", label);
        return span;
    };

    const indexOf = (event) => (event.target.dataset?.index === undefined ? null : Number(event.target.dataset.index));
    text.addEventListener("pointerover", (event) => kept === null && tell(indexOf(event)));
    text.addEventListener("focusin", (event) => (kept === null || event.target.matches(":focus-visible")) && tell(indexOf(event)));
    text.addEventListener("click", (event) => {
        const index = indexOf(event);
        if (index === null || event.detail > 1) return;              // the second click of two goes to Attention
        keep(index === kept ? null : index);
        tell(index);
    });
    text.addEventListener("dblclick", (event) => indexOf(event) !== null && look(indexOf(event)));
    text.addEventListener("keydown", (event) => {
        const index = indexOf(event);
        if (index === null || event.ctrlKey || event.metaKey) return;
        if (event.key === "Enter") look(index);
        if (event.key !== " ") return;
        event.preventDefault();                                      // a space would scroll the page
        keep(index === kept ? null : index);
    });
    watch("value", show);
    show();
};
