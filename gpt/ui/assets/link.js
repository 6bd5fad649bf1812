// The address says where one is: the part behind "#" names the tab and what is shown there, so that a link to the page leads back to it.
//
// Each tab tells what it shows: gpt.link.tell(tab, {name: value, a list, or null where there is nothing to tell}). Opening a link asks Python
// (gpt/ui/server/links.py) what of it exists here; a link can show something, and never starts, changes or deletes a run.

gpt.LINK_PAUSE = 320;                                                // ms: browsers take a hundred changes of the address in half a minute

gpt.link = {
    version: null, longest: 0,                                       // set by the view below; a prompt that makes a link longer is left out
    tab: "train",                                                    // the one that is shown
    places: {},                                                      // tab -> what it shows
    isOpening: true,                                                 // until begin() has seen to the link that the page was opened with
    wanted: null,                                                    // what Attention is to select when its next inspection is shown
    isWithoutPrompt: false,
    address: { hash: "", writtenAt: 0, timer: null },                // as it was written or opened last; a timer where it is about to be written

    tell(tab, place) {
        gpt.link.places[tab] = place;
        if (tab !== gpt.link.tab || gpt.link.isOpening) return;
        gpt.link.address.timer ??= setTimeout(gpt.link.write, gpt.link.address.writtenAt + gpt.LINK_PAUSE - performance.now());  // at once, if that is over
    },

    // `tab` was chosen, perhaps a while ago, and what was chosen since is shown: this runs late where there is much to do.
    choose(tab) {
        setTimeout(() => gpt.link.at(document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId ?? tab));
    },

    // Another tab is shown: a place of its own in the browser's history.
    at(tab) {
        if (tab === gpt.link.tab) return;
        if (gpt.link.address.timer) gpt.link.write();
        gpt.link.tab = tab;
        if (gpt.link.isOpening) return;
        gpt.link.say("");
        gpt.link.write("pushState");
    },

    write(how = "replaceState") {
        clearTimeout(gpt.link.address.timer);
        gpt.link.address.timer = null;
        if (gpt.link.isOpening || location.hash !== gpt.link.address.hash) return;  // somebody has gone elsewhere, which is about to be opened
        const place = gpt.link.places[gpt.link.tab] ?? {}, { prompt, ...rest } = place;
        const fragment = [place, rest, {}].map(gpt.fragmentOf).find((text) => text.length <= gpt.link.longest);
        gpt.link.isWithoutPrompt = Boolean(prompt) && fragment !== gpt.fragmentOf(place);
        if (how === "pushState" || `#${fragment}` !== location.hash) history[how](history.state, "", `#${fragment}`);
        gpt.link.address.writtenAt = performance.now();
        gpt.link.address.hash = location.hash;
    },

    // Called once the form is filled: open the link that the page was opened with, if there is one, and call ready().
    begin(ready) {
        gpt.link.begin = () => {};
        gpt.link.ready = ready;
        if (location.hash.length > 1) return gpt.link.open();
        gpt.link.isOpening = false;
        return ready();
    },

    // What Attention is to select, if the inspection of this number was asked for since the link was opened.
    take(number) {
        const { wanted } = gpt.link;
        if (!wanted || !(number > wanted.after)) return null;
        gpt.link.wanted = null;
        return wanted;
    },
};

// The name of a file without its folders: the others are nobody's business elsewhere.
gpt.baseName = (path) => String(path).split(/[\\/]/).at(-1);

gpt.fragmentOf = function (place) {
    const pairs = Object.entries({ v: gpt.link.version, tab: gpt.link.tab, ...place })
        .flatMap(([name, value]) => [value ?? []].flat().filter((item) => item !== "").map((item) => [name, String(item)]));
    return new URLSearchParams(pairs).toString();
};

// choices: {version, longest: characters of a link}. Triggers "click" with {fragment}, the one to open. The answer: {sentence: what the link
// lacks here, tab: the one to show, or null, and what Attention is to select: layer, head, token, view, panel}.
gpt.views.link = function (element, props, { trigger, choices }) {
    const sentence = gpt.live(gpt.make("p", "gpt-warning"));
    element.replaceChildren(sentence);
    Object.assign(gpt.link, choices);
    gpt.link.say = (text) => {
        sentence.textContent = text;
    };
    let requested = null;                                            // the fragment that Python is asked about
    gpt.link.open = () => {
        gpt.link.isOpening = true;
        gpt.link.address.hash = location.hash;
        if (requested === null) trigger("click", { fragment: requested = location.hash.slice(1) });
    };
    // Whether a person has gone on to another link meanwhile: then that one is opened.
    const isOvertaken = () => {
        const overtaken = requested !== location.hash.slice(1);
        requested = null;
        if (overtaken) gpt.link.open();
        return overtaken;
    };
    const end = (text) => {
        gpt.link.isOpening = false;
        gpt.link.say(text);
        gpt.link.ready?.();
    };
    gpt.link.failed = () => isOvertaken() || end("The link could not be opened: the server did not answer.");
    // Everything that Python sets has been set: show the tab.
    gpt.link.arrive = () => {
        if (isOvertaken()) return;
        const { sentence: text, tab, runs, ...selection } = props.value || {};
        end(text || "");
        if (!tab) return;
        const isShown = tab === gpt.link.tab;
        gpt.link.tab = tab;
        if (tab === "attention") {
            gpt.replay.request = null;
            gpt.link.wanted = { ...selection, after: gpt.replay.inspections };
        }
        if (!isShown) gpt.openTab(tab);
        else if (tab === "attention") document.getElementById("inspect").click();
        else if (tab === "runs") gpt.chooseRuns?.(runs);
    };
    addEventListener("popstate", () => {
        if (location.hash.length > 1) gpt.link.open();
        else gpt.link.address.hash = location.hash;                        // taken out by hand: it comes back with the next change
    });
};

// Show a tab as if a person had chosen it. On the narrowest windows tabs fold into a menu.
gpt.openTab = function (tab) {
    const name = document.querySelector(`#tabs [data-tab-id="${tab}"]`);
    const folded = () => [...document.querySelectorAll("#tabs .overflow-dropdown button")].find((button) => button.textContent.trim().toLowerCase() === tab);
    (name || folded()).click();
};

// A button that copies the address.
gpt.copyLink = function () {
    const button = gpt.button("Copy link", async () => {
        if (gpt.link.address.timer) gpt.link.write();
        const isCopied = await gpt.copy(location.href);
        button.textContent = !isCopied ? "Copy it from the address bar" : gpt.link.isWithoutPrompt ? "Copied, without the long prompt" : "Copied";
        setTimeout(() => { button.textContent = "Copy link"; }, 2000);
    });
    button.title = "copy a link that shows what this tab shows now, on any page that has the run";
    return button;
};

// Put a text on the clipboard. Browsers offer navigator.clipboard to this machine and over HTTPS only. Resolves to whether it is there.
gpt.copy = async function (text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
    const box = Object.assign(gpt.make("textarea"), { value: text }), focused = document.activeElement;
    document.body.append(box);
    box.select();
    const isCopied = document.execCommand("copy");
    box.remove();
    focused?.focus();
    return isCopied;
};
