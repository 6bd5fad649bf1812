// Answers of the server may overtake each other: of several requests of one kind, only the answer to the newest is shown.
//
//     const requests = gpt.requests();
//     const isNewest = requests.begin(), answer = await ...;
//     if (!isNewest()) return;
gpt.requests = function () {
    let newest = 0;
    return {
        // A new request -> a function that says whether it is the newest still.
        begin() {
            const mine = ++newest;
            return () => mine === newest;
        },
        // No answer is waited for any more.
        drop() {
            newest += 1;
        },
    };
};

// The same where requests carry a number that comes back in their answers: show(value) is called unless a newer one was shown already.
gpt.inOrder = function (numberOf, show) {
    let newest = 0;
    return (value) => {
        const number = numberOf(value) ?? newest;
        if (number < newest) return;
        newest = number;
        show(value);
    };
};

// work(isNewest) is done one at a time: while it is under way, only the newest of the calls that come meanwhile waits.
gpt.oneAtATime = function (work) {
    let busy = false, again = false;
    return async () => {
        again = true;
        if (busy) return;
        busy = true;
        while (again) {
            again = false;
            await work(() => !again);
        }
        busy = false;
    };
};
