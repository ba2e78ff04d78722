// A picture and its frame in the page: a model as anywidget's, whose frame goes to the server as the value of this
// component, with the picture it is of.

let close;

function show({ picture, size, name, frame, of, another, place, all }) {
  if (all) kept.uploads(place, all);
  if (picture) kept.frame(of, frame);
  close?.();
  close = null;
  element.replaceChildren();
  if (!picture) return;
  const model = new Model({ _picture: picture, _size: size, _name: name, frame });
  model.on("save", () => {
    props.value = { of, frame: model.get("frame") };
    kept.frame(of, model.get("frame"));
    trigger("input");
  });
  element.append(Object.assign(document.createElement("p"), { className: "title", textContent: "Your picture" }));
  close = frameView(model, element);
  if (!another) return;
  const button = Object.assign(document.createElement("button"), {
    type: "button",
    className: "another",
    textContent: "Another picture",
    onclick: () => trigger("clear"),
  });
  element.append(button);
}

watch("value", () => "picture" in (props.value ?? {}) && show(props.value));
show(props.value ?? {});
