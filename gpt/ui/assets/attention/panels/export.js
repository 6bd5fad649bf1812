// Export: an inspection as files. Figures are saved where they stand, the scores under Scores.

gpt.panels.push({
    order: 6,
    title: "Export",
    build(element, explorer) {
        const status = gpt.live(gpt.make("p", "gpt-small"));
        const save = async (name, write) => {
            status.textContent = "Packing.";
            const answer = await explorer.ask(name, {});
            status.textContent = answer ? "Saved." : "";
            if (answer) write(answer, explorer.value.run);
        };
        const report = gpt.button("Report of this run as HTML", () =>
            save("report", ({ html }, run) => gpt.save(`${run}.html`, "text/html", html)));
        const arrays = gpt.button("Maps of every head as NPZ", () => save("arrays", ({ npz }, run) =>
            gpt.save(`${run}-attention.npz`, "application/zip", Uint8Array.from(atob(npz), (character) => character.charCodeAt(0)))));
        const entry = (button, text) => gpt.wrap("p", "gpt-entry", button, gpt.make("span", "gpt-small", ` ${text}`));
        element.append(
            entry(report, "its curve, samples, heads, CONFIG, command and versions in one page, which opens with no network"),
            entry(arrays, "the exact weights on this prompt, layers x heads x tokens x tokens, for NumPy"),
            gpt.make("p", "gpt-small", "Every figure has PNG and SVG at its lower corner, every head's scores are a CSV under Scores."), status);
        return { show() { status.textContent = ""; } };
    },
});
