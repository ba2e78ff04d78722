// What anywidget calls in a notebook.

export default {
  render({ model, el }) {
    let close = frameView(model, el);
    const anew = () => (close(), (close = frameView(model, el)));
    model.on("change:_picture", anew);
    return () => (model.off("change:_picture", anew), close());
  },
};
