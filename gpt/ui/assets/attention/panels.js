// Panels below the heads, each in a file of its own in panels/: {order, title, build(element, explorer) -> {show(), select()}}. `order` is
// its place among the tabs. `show` is called when the panel is opened and when another inspection is shown while it is open, `select`
// when another head or token is selected meanwhile.
gpt.panels = [];

// A tab for each panel. A panel is built when it is first opened: most people open one or two.
gpt.panelTabs = function (tabs, room, explorer) {
    const built = new Map(), tabOf = new Map();
    let opened = null;
    tabs.setAttribute("role", "tablist");

    const open = (panel, tab) => {
        const close = tab.getAttribute("aria-selected") === "true";
        for (const other of tabs.children) other.setAttribute("aria-selected", String(other === tab && !close));
        if (!built.has(panel)) {
            const place = gpt.make("div", "gpt-panel-content");
            built.set(panel, { place, name: gpt.panelName(panel.title), ...panel.build(place, explorer) });
        }
        opened = close ? null : built.get(panel);
        room.replaceChildren(...(opened ? [opened.place] : []));
        explorer.tell();
        opened?.show?.();
    };
    [...gpt.panels].sort((a, b) => a.order - b.order).forEach((panel, i) => {
        const tab = gpt.button(panel.title, () => open(panel, tab), "");
        tab.setAttribute("role", "tab");
        tab.setAttribute("aria-selected", "false");
        tab.id = `panel-${i}`;
        tabOf.set(gpt.panelName(panel.title), tab);
        tabs.append(tab);
    });
    return {
        show: () => opened?.show?.(),
        select: () => opened?.select?.(),
        name: () => opened?.name ?? null,
        // Open the panel of that name. Returns whether it was opened now, and not before.
        open(name) {
            const tab = tabOf.get(name);
            if (!tab || name === opened?.name) return false;
            tab.click();
            tab.scrollIntoView({ block: "center" });
            return true;
        },
    };
};

// "What it does" in a link: what-it-does.
gpt.panelName = (title) => title.toLowerCase().replaceAll(" ", "-");
