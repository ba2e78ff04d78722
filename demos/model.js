// A model as anywidget's, for scripts that notebooks and the page share; what they save goes to `send` or to listeners.

class Model extends EventTarget {
  constructor(values, send) {
    super();
    Object.assign(this, { values, send });
  }
  get(name) {
    return this.values[name];
  }
  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    this.dispatchEvent(new Event(`change:${name}`));
  }
  on(name, handler) {
    this.addEventListener(name, handler);
  }
  off(name, handler) {
    this.removeEventListener(name, handler);
  }
  save_changes() {
    this.dispatchEvent(new Event("save"));
  }
}
