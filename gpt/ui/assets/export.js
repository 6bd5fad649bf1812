// Taking home what was seen. Figures are saved where they stand, the scores under Scores.

gpt.panels.push({
    title: "Export",
    build(element, explorer) {
        const arrays = gpt.make("button", "gpt-link", "Maps of every head as NPZ"), report = gpt.make("button", "gpt-link", "Report of this run as HTML");
        const status = gpt.make("p", "gpt-small");
        status.setAttribute("role", "status");
        const entry = (button, words) => {
            const line = gpt.make("p", "gpt-entry");
            line.append(button, gpt.make("span", "gpt-small", ` ${words}`));
            return line;
        };
        element.append(
            entry(report, "its curve, samples, heads, CONFIG, command and versions in one page, which opens with no network"),
            entry(arrays, "the exact weights on this prompt, layers x heads x tokens x tokens, for NumPy"),
            gpt.make("p", "gpt-small", "Every figure has PNG and SVG at its lower corner, every head's scores are a CSV under Scores."), status);
        const save = async (name, take) => {
            status.textContent = "Packing.";
            const answer = await explorer.ask(name, {});
            status.textContent = answer ? "Saved." : "";
            if (answer) take(answer, explorer.value.run);
        };
        report.onclick = () => save("report", ({ html }, run) => gpt.save(`${run}.html`, "text/html", html));
        arrays.onclick = () => save("arrays", ({ npz }, run) =>
            gpt.save(`${run}-attention.npz`, "application/zip", Uint8Array.from(atob(npz), (one) => one.charCodeAt(0))));
        return { show() { status.textContent = ""; } };
    },
});
