// The line below a list of runs that says how far the download of GPT-2 is: {state, sentence, share}; triggers "click" when it has arrived.

gpt.FETCH_PAUSE = 500;                                               // ms between two questions

gpt.views.fetched = function (element, props, { watch, trigger, server }) {
    const sentence = gpt.live(gpt.make("span")), bar = Object.assign(gpt.make("progress"), { max: 1, ariaLabel: "download of GPT-2" });
    element.replaceChildren(gpt.wrap("p", "gpt-fetched gpt-small", sentence, bar));
    let asks = false;
    const show = ({ state, sentence: text, share } = {}) => {
        element.firstChild.hidden = !text;
        element.firstChild.classList.toggle("gpt-error", state === "failed");
        sentence.textContent = text || "";
        [bar.hidden, bar.value] = [state !== "working", share || 0];
        return state;
    };
    const follow = async () => {
        if (asks || show(props.value || {}) !== "working") return;
        asks = true;
        for (let state = "working"; state === "working";) {
            await new Promise((resolve) => { setTimeout(resolve, gpt.FETCH_PAUSE); });
            try {
                state = show(await server.state(null));
                if (state === "done") trigger("click");
            } catch { /* the server is away: ask again */ }
        }
        asks = false;
    };
    watch("value", follow);
    follow();
};
