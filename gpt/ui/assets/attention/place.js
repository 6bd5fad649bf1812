// Where on the Attention tab a person is, for the address; and what a link names there.

gpt.explorerPlace = (explorer) => ({
    // Let the address say what is shown. A step of a generated text has no prompt that would lead back to it.
    tell() {
        if (!explorer.value?.mosaic) return;
        const { run, step, tokens } = explorer.value, { layer, head, query } = explorer.selected, view = explorer.head.view();
        gpt.link.tell("attention", { run, step, prompt: explorer.prompt, head: `${layer}.${head}`, token: query === tokens.length - 1 ? null : query,
                                     view: view === "weights" ? null : view, panel: explorer.panels.name() });
    },

    // Select what a link names.
    follow({ layer, head, token, view }) {
        if (layer !== undefined) Object.assign(explorer, { isChosen: true, selected: { ...explorer.selected, layer, head } });
        if (token !== undefined) explorer.selected.query = token;
        explorer.head.setView(view ?? "weights");
    },
});
