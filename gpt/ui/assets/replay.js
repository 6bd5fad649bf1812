// From Generate to Attention: inspect again the step at which a token was written.
//
// A request is {run, place, ids, wrote, probability}: the place of the weights on the slider, the ids that the model read, the token that it
// chose, and how probable it found it. Gradio calls the functions below before it calls Python, so all inspections take the same path: when
// the tab opens, its controls are set to the request's run and weights, and the ids are sent in place of the prompt.
//
// Answers may arrive out of order: each inspection has a number, and the explorer shows the answer with the highest.
gpt.replay = {
    request: null,
    arriving: false,                                                 // the tab has not taken the request's run and weights yet
    inspections: 0,

    go(request) {
        gpt.replay.request = request;
        gpt.replay.arriving = true;
        gpt.openTab("attention");
    },

    // The run and the place that the tab's controls take when it is shown; null leaves them as they are.
    controls(run) {
        const { request, arriving } = gpt.replay;
        gpt.replay.arriving = false;
        return arriving && request ? [request.run, request.place] : [run, null];
    },

    // What is inspected when run or weights change: the requested step, also in other weights of its run; in another run, the prompt again.
    follow([run, weights, prompt]) {
        if (gpt.replay.request?.run !== run) gpt.replay.request = null;
        return [run, weights, { number: ++gpt.replay.inspections, ...(gpt.replay.request || { text: prompt }) }];
    },

    // What is inspected when a person asks for the prompt.
    prompt([run, weights, prompt]) {
        gpt.replay.request = null;
        return gpt.replay.follow([run, weights, prompt]);
    },
};
