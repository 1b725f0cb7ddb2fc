// Volumes in three dimensions by itk-vtk-viewer, served by this page's own server, or
// as three planes where that cannot be had.

const ROUTE = "fednb/static/itk-vtk-viewer/itkVtkViewer.js";
// the volume first: the viewer's own controls are behind its menu button
const CONFIG = { viewerConfigVersion: "0.3", uiCollapsed: true };
const NO_WEBGL = "Slices are shown: this browser has no WebGL.";
const NO_GPU = "Slices are shown: three dimensions are slow here, without a GPU.";
const NO_FILES = "Slices are shown: the 3D viewer is not served here.";
const NO_VIEWER = "Slices are shown: the 3D viewer could not start.";

// What would draw: "none", or "software" where a first picture can take a minute.
const rendererOf = (context) => {
  if (!context) return "none";
  const names = context.getExtension("WEBGL_debug_renderer_info");
  const name = context.getParameter(names?.UNMASKED_RENDERER_WEBGL ?? context.RENDERER);
  // pages may hold only a few contexts
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name) ? "software" : "hardware";
};

// Address of the viewer on the server that this page came from, or null.
const addressOf = (page) => {
  const config = page.getElementById("jupyter-config-data");
  const base = config ? JSON.parse(config.textContent).baseUrl : null;
  // a path: never another machine
  return /^\/(?!\/)/.test(base ?? "") ? `${base.replace(/\/*$/, "/")}${ROUTE}` : null;
};

const isServed = async (address) => {
  const found = await fetch(address, { method: "HEAD" }).catch(() => null);
  return Boolean(found?.ok && /javascript/.test(found.headers.get("content-type") ?? ""));
};

const loadScript = (address) =>
  new Promise((resolve, reject) => {
    const script = make("script", { src: address });
    // its UMD wrapper would hand itself to an AMD loader of the page
    const define = window.define;
    window.define = undefined;
    const end = (settle) => () => {
      window.define = define;
      script.remove();
      settle(window.itkVtkViewer);
    };
    script.addEventListener("load", end(resolve));
    script.addEventListener("error", end(reject));
    document.head.append(script);
  });

// Once a page, however many viewers it has.
const engineOf = (address) => {
  window.fednbVolumeEngine ??= loadScript(address);
  return window.fednbVolumeEngine;
};

// A volume as itk-wasm describes it; ITK's world is LPS, ours RAS.
const imageOf = (channel, shape, spacing) => ({
  imageType: { dimension: 3, componentType: "float32", pixelType: "Scalar", components: 1 },
  // the viewer's own page never gets a word of another party
  name: "volume",
  origin: [0, 0, 0],
  spacing: [...spacing],
  direction: new Float64Array([-1, 0, 0, 0, -1, 0, 0, 0, 1]),
  size: [...shape],
  data: voxelsOf(channel),
  metadata: new Map(),
});

// The engine of a third dimension, or why there is none; `asked`: somebody wants it slow.
const engineOrWhy = async (backend, asked) => {
  if (backend === "canvas") return { why: "" };
  const renderer = rendererOf(make("canvas").getContext("webgl2"));
  if (renderer === "none") return { why: NO_WEBGL };
  const address = addressOf(document);
  if (!address || !(await isServed(address))) return { why: NO_FILES };
  if (renderer === "software" && !asked) return { why: NO_GPU };
  const engine = await engineOf(address).catch(() => null);
  return engine ? { engine } : { why: NO_VIEWER };
};

function render({ model, el }) {
  const channels = model.get("channels");
  const [shape, spacing] = [model.get("shape"), model.get("spacing")];
  const body = make("div", { class: "scene" });
  const note = make("p", { class: "tools muted", role: "status" });
  const options = channels.map(({ name }, i) => make("option", { value: i }, name));
  const choice = make("select", { "aria-label": "modality" }, ...options);
  const several = channels.length > 1 ? choice : "";
  const heading = make("div", { class: "heading" }, make("span", {}, model.get("title")), several);
  const head = make("div", { class: "fednb-live" }, heading, note);
  const root = make("div", { class: "fednb-volume", "data-lm-suppress-shortcuts": true }, head, body);
  // arrow keys in our controls are theirs: the notebook would take them for its cells
  const keep = (node) => node.addEventListener("keydown", (event) => event.stopPropagation());
  keep(head);
  el.append(root);
  let closed = false;
  let show = () => {};

  const planes = (why) => {
    const slices = slicesOf(shape, spacing);
    const anyway = button("Show in 3D", () => begin({ asked: true }));
    note.replaceChildren(why, why === NO_GPU ? anyway : "");
    keep(slices.node);
    body.replaceChildren(slices.node);
    root.setAttribute("data-shown", "slices");
    show = slices.show;
    show(channels[Number(choice.value)]);
  };
  const scene = async (engine) => {
    const image = (channel) => imageOf(channel, shape, spacing);
    const stage = make("div", { class: "stage" });
    note.replaceChildren();
    body.replaceChildren(stage);
    const first = image(channels[Number(choice.value)]);
    const viewer = await engine.createViewer(stage, { image: first, config: CONFIG });
    if (closed) return;
    root.setAttribute("data-shown", "scene");
    show = (channel) => viewer.setImage(image(channel));
  };
  const begin = async ({ asked }) => {
    const { engine, why } = await engineOrWhy(model.get("backend"), asked);
    if (closed) return;
    if (!engine) planes(why);
    else await scene(engine).catch(() => closed || planes(NO_VIEWER));
  };
  choice.addEventListener("change", () => show(channels[Number(choice.value)]));
  begin({ asked: false });
  return () => {
    closed = true;
    // a scene keeps its WebGL context until it is told to let go
    for (const canvas of body.querySelectorAll?.("canvas") ?? []) {
      canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    root.remove();
  };
}

export default { render };
