// From Generate to Attention: the step at which a token was written, looked at again.
//
// A wish is {run, place, ids, wrote, probability}: the place of the weights on the slider, the ids that the model read, the token that it
// chose, and how likely it found it. Gradio calls the three functions below before it asks Python, so that there is one way of looking:
// when the tab opens, its controls take the wish's run and weights, and the ids stand where the prompt would.
//
// Looks may overtake each other: each has a number, and the explorer keeps to the answer with the highest.
gpt.replay = {
    wish: null,
    arriving: false,                                                 // the tab has not taken the wish's run and weights yet
    looks: 0,

    go(wish) {
        gpt.replay.wish = wish;
        gpt.replay.arriving = true;
        const folded = () => [...document.querySelectorAll("#tabs .overflow-dropdown button")].find((button) => button.textContent.trim() === "Attention");
        (document.querySelector('#tabs [data-tab-id="attention"]') || folded()).click();  // on the narrowest windows tabs fold into a menu
    },

    // The run and the place that the tab's controls take when it is shown; null leaves them as they are.
    wished(run) {
        const { wish, arriving } = gpt.replay;
        gpt.replay.arriving = false;
        return arriving && wish ? [wish.run, wish.place] : [run, null];
    },

    // What is looked at without being asked for: the wish, also in other weights of its run; in another run, the prompt again.
    seen([run, weights, prompt]) {
        if (gpt.replay.wish?.run !== run) gpt.replay.wish = null;
        return [run, weights, { number: ++gpt.replay.looks, ...(gpt.replay.wish || { text: prompt }) }];
    },

    // Somebody asks for the prompt.
    left([run, weights, prompt]) {
        gpt.replay.wish = null;
        return gpt.replay.seen([run, weights, prompt]);
    },
};
