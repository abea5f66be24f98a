// Values under the pointer, in all charts at once; a click enlarges a sweep. The page reads without either.
const charts = [...document.querySelectorAll(".chart")].map((figure) => {
  const output = figure.querySelector("output");
  return { svg: figure.querySelector(":scope > svg"), cursor: figure.querySelector(".cursor"), output,
    resting: output.innerHTML, ...JSON.parse(figure.dataset.chart) };
});
const short = (v) => Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en")
  : String(Number(v.toPrecision(Math.abs(v) < 0.01 ? 2 : 3)));

function nearest(steps, step) {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] < step) low = middle; else high = middle;
  }
  return step - steps[low] < steps[high] - step ? low : high;
}

function show(step) {
  for (const chart of charts) {
    chart.output.textContent = `step ${Math.round(step).toLocaleString("en")} `;
    for (const series of chart.series) {
      const at = nearest(series.step, step);
      const [item, mark, value] = ["span", "i", "b"].map((tag) => document.createElement(tag));
      mark.className = series.look;
      value.textContent = short(series.mean[at]);
      value.title = `as logged: ${short(series.raw[at])}`;
      const alone = chart.series.length === 1 && series.raw[at] !== series.mean[at];
      const raw = alone ? ` (${short(series.raw[at])})` : "";
      item.append(mark, series.name ? `${series.name} ` : "", value, raw);
      chart.output.append(item, " ");
    }
    const x = chart.left + step / chart.steps * chart.inner;
    chart.cursor.setAttribute("x1", x);
    chart.cursor.setAttribute("x2", x);
    chart.cursor.style.visibility = "visible";
  }
}

function rest() {
  for (const chart of charts) {
    chart.output.innerHTML = chart.resting;
    chart.cursor.style.visibility = "hidden";
  }
}

for (const chart of charts) {
  chart.svg.addEventListener("pointermove", (event) => {
    const box = chart.svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * chart.width - chart.left) / chart.inner;
    show(Math.min(Math.max(share, 0), 1) * chart.steps);
  });
  chart.svg.addEventListener("pointerleave", rest);
}
for (const figure of document.querySelectorAll(".zoom")) {
  figure.firstElementChild.addEventListener("click", () => figure.classList.toggle("large"));
}
