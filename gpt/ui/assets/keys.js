// Ctrl+Enter presses the main button of the visible tab; Esc presses its Stop button, or cancels a rename or a delete.
document.addEventListener("keydown", (event) => {
    const run = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (!run && event.key !== "Escape") return;
    if (!run && event.target.getAttribute?.("aria-expanded") === "true") return;   // it closes an open list
    const names = run ? ["train", "generate", "inspect"] : ["stop", "stop-writing", "leave-name", "keep-runs"];
    const button = names.map((name) => document.getElementById(name)).find((button) => button?.offsetParent && !button.disabled);
    if (!button) return;
    event.preventDefault();
    button.click();
});

gpt.complete = true;                                                // this is the last script: what uses the others may begin
