// Cells of attention as pixels, without Plotly: on the film strip, and in the file of an animation, which holds this text.
window.gpt = window.gpt || { views: {} };

// Plotly's colour scale, [[place from 0 to 1, "#rrggbb" or transparent]], as 256 colours of red, green, blue and opacity.
gpt.palette = function (scale) {
    const parts = (colour) => colour.startsWith("#") ? [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)).concat(255) : [0, 0, 0, 0];
    return Array.from({ length: 256 }, (_, byte) => {
        const place = byte / 255, above = Math.max(1, scale.findIndex(([end]) => end >= place));
        const [[from, low], [to, high]] = [scale[above - 1], scale[above]], share = to > from ? (place - from) / (to - from) : 0;
        const [a, b] = [parts(low), parts(high)];
        return a.map((value, i) => Math.round(value + share * (b[i] - value)));
    });
};

// Paint the width x height bytes at (x, y) of an image `stride` bytes wide, one pixel a cell; CSS makes them large.
gpt.paint = function (canvas, bytes, palette, { x = 0, y = 0, width, height, stride }) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    for (let row = 0; row < height; row += 1) {
        for (let column = 0; column < width; column += 1) {
            image.data.set(palette[bytes[(y + row) * stride + x + column]], 4 * (row * width + column));
        }
    }
    context.putImageData(image, 0, 0);
};
