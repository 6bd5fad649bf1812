// The Train tab's form: the text, and what training this CONFIG costs. Requests about the form are numbered (gpt/ui/tabs/train.py), and
// so are the answers: one older than the answer that is shown is ignored.

// {question, sentence, opening, notes}
gpt.views.preview = function (element, props, { watch }) {
    const sentence = gpt.make("p", "gpt-small gpt-about"), opening = gpt.make("p", "gpt-opening"), notes = gpt.make("p", "gpt-warning");
    element.replaceChildren(sentence, opening, notes);
    const show = gpt.inOrder(({ question }) => question, (value) => {
        sentence.textContent = sentence.title = value.sentence || "";
        opening.textContent = opening.title = value.opening || "";
        notes.textContent = value.notes || "";
    });
    watch("value", () => show(props.value || {}));
    show(props.value || {});
};

// {question, numbers: [[value, label]], bars: [[label, {part: share}]], colours: {part: colour}, problems: [sentence], warning, command}
gpt.views.price = function (element, props, { watch }) {
    const command = gpt.make("p", "gpt-command"), link = gpt.wrap("p", "gpt-copy", gpt.copyLink());
    command.tabIndex = 0;                                            // it scrolls
    command.title = "the same from the command line";
    const show = gpt.inOrder(({ question }) => question, (value) => {
        const parts = (value.problems || []).map((problem) => gpt.make("p", "gpt-error", problem));
        if (value.numbers?.length) {
            const line = gpt.make("p", "gpt-price");
            value.numbers.forEach(([number, label], i) => line.append(i ? " · " : "", gpt.make("b", "", number), ` ${label}`));
            parts.push(line);
        }
        if (value.warning) parts.push(gpt.make("p", "gpt-warning", value.warning));
        if (value.bars?.length) parts.push(gpt.priceBars(value), gpt.priceLegend(value));
        command.textContent = value.command || "";
        if (value.command) parts.push(command);
        element.replaceChildren(...parts, link);
    });
    watch("value", () => show(props.value || {}));
    show(props.value || {});
};

// A bar of shares by part of the model for each label.
gpt.priceBars = function ({ bars, colours }) {
    return gpt.wrap("div", "gpt-bars", ...bars.flatMap(([label, shares]) => {
        const bar = gpt.wrap("div", "gpt-bar", ...Object.entries(shares).map(([part, share]) => {
            const piece = gpt.make("span");
            piece.style.background = colours[part];
            piece.style.flexGrow = share;
            piece.title = `${part}: ${gpt.percent(share)} of ${label}`;
            return piece;
        }));
        bar.setAttribute("role", "img");
        bar.setAttribute("aria-label", `${label}: ` + Object.entries(shares).map(([part, share]) => `${part} ${gpt.percent(share)}`).join(", "));
        return [gpt.make("span", "", label), bar];
    }));
};

// What the colours of both bars are; the shares show on hover.
gpt.priceLegend = function ({ bars, colours }) {
    return gpt.wrap("p", "gpt-key", ...Object.entries(colours).map(([part, colour]) => {
        const entry = gpt.legendEntry(colour, part);
        entry.title = bars.map(([label, shares]) => `${gpt.percent(shares[part])} of ${label}`).join(", ");
        return entry;
    }));
};
