// What anywidget calls in a notebook.

export default () => {
  let sketch;
  return {
    initialize({ model }) {
      sketch = new Sketch(model);
    },
    render({ model, el }) {
      return view(model, sketch, el);
    },
  };
};
