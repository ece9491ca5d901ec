"use strict";
{
  const { ns, lanes, names, stages, frames, bars, path } = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("chart"), tip = document.getElementById("tip"), draw = canvas.getContext("2d");
  const LEFT = 96, RIGHT = 24, TOP = 34, LANE = 48, BAR = 28, PATH = 36, BOTTOM = 30;
  const bottom = TOP + lanes.length * LANE;
  // Bars by lane, in order of begin.
  const byLane = lanes.map((_, lane) => bars.filter(bar => bar[0] === lane));
  // The part of the time that is shown, in nanoseconds.
  let from = 0, shown = ns, asked = false, hovered = null;

  const width = () => canvas.clientWidth - LEFT - RIGHT;
  const x = at => LEFT + (at - from) / shown * width();
  const timeAt = px => from + (px - LEFT) / width() * shown;
  const duration = n =>
    n < 1e3 ? `${n} ns` : n < 1e6 ? `${(n / 1e3).toFixed(1)} µs` : n < 1e9 ? `${(n / 1e6).toFixed(2)} ms` : `${(n / 1e9).toFixed(2)} s`;

  function show(start, length) {
    shown = Math.min(Math.max(length, 100), Math.max(ns, 100));
    from = Math.min(Math.max(start, 0), Math.max(ns - shown, 0));
    if (!asked) requestAnimationFrame(render);
    asked = true;
  }

  const zoom = (factor, px = LEFT + width() / 2) => {
    const at = timeAt(px);
    show(at - (at - from) * factor, shown * factor);
  };

  /** The bars of a lane that begin before the end of what is shown, from the first that may reach into it. */
  function* visible(lane) {
    for (const bar of byLane[lane]) {
      if (bar[5] > from + shown) return;
      if (bar[5] + bar[6] >= from) yield bar;
    }
  }

  const place = ([lane, , kind]) => {
    const y = TOP + lane * LANE;
    return kind === "wait" ? [y + 7, BAR - 14] : kind === "gc" ? [y + BAR - 9, 9] : [y, BAR];
  };

  function render() {
    asked = false;
    const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(`--${name}`);
    const ratio = devicePixelRatio || 1, w = canvas.clientWidth, h = bottom + BOTTOM;
    canvas.style.height = `${h}px`;
    [canvas.width, canvas.height] = [w * ratio, h * ratio];
    draw.setTransform(ratio, 0, 0, ratio, 0, 0);
    const font = size => (draw.font = `${size}px ${getComputedStyle(document.body).fontFamily}`);
    const hatch = new DOMMatrix([Math.SQRT1_2, Math.SQRT1_2, -Math.SQRT1_2, Math.SQRT1_2, 0, 0]);
    const tile = new OffscreenCanvas(5, 5), stripes = tile.getContext("2d");
    stripes.fillStyle = colour("wait");
    stripes.fillRect(0, 0, 2, 5);
    const wait = draw.createPattern(tile, "repeat");
    wait.setTransform(hatch);

    draw.save();
    draw.beginPath();
    draw.rect(LEFT, 0, w - LEFT - RIGHT, h);
    draw.clip();
    font(11);
    frames.forEach(([number, start, took], index) => {
      const left = x(start), right = x(start + took);
      draw.fillStyle = colour("band");
      if (index % 2 === 0) draw.fillRect(left, 8, right - left, bottom - 8);
      const text = `${number} · ${duration(took)}`, at = Math.max(left, LEFT) + 6;
      draw.fillStyle = colour("faint");
      if (at + draw.measureText(text).width < right) draw.fillText(text, at, 22);
    });
    const step = (() => {
      const least = shown / 12, power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
      return power * ([1, 2, 5].find(factor => factor * power >= least) ?? 10);
    })();
    const ticks = [];
    for (let at = Math.ceil(from / step) * step; at <= from + shown; at += step) ticks.push(at);
    draw.fillStyle = colour("line");
    for (const at of ticks) draw.fillRect(x(at), TOP, 0.6, bottom - TOP + 5);
    for (const lane of lanes.keys()) {
      let drawn = -1, known = "", group = null;
      const label = () => {
        if (!group || group.right - group.left < 24) return;
        draw.save();
        draw.beginPath();
        draw.rect(group.left, TOP + lane * LANE, group.right - group.left - 4, BAR);
        draw.clip();
        draw.fillStyle = colour("ground");
        draw.fillText(names[group.text], group.left + 6, TOP + lane * LANE + 15);
        draw.restore();
      };
      for (const bar of visible(lane)) {
        const [, name, kind, text] = bar, left = Math.max(x(bar[5]), LEFT - 4), right = Math.min(x(bar[5] + bar[6]), w);
        if (kind === "system" || kind === "range") {
          // Ranges of one system that follow each other share a label.
          if (group?.text === text && left - group.right < 1.5) group.right = right;
          else {
            label();
            group = { text, left, right };
          }
        }
        // What lies in a pixel that this colour already has need not be drawn.
        if (name === known && right < drawn + 0.5) continue;
        [drawn, known] = [right, name];
        const [y, height] = place(bar), wide = right - left > 3 ? right - left - 0.7 : Math.max(right - left, 0.6);
        draw.fillStyle = kind === "wait" ? wait : colour(name);
        draw.fillRect(left, y, wide, height);
        if (hovered !== bar) continue;
        draw.strokeStyle = colour("ink");
        draw.lineWidth = 1.5;
        draw.strokeRect(left, y, wide, height);
      }
      label();
    }
    draw.strokeStyle = colour("critical");
    [draw.lineWidth, draw.lineJoin] = [3, "round"];
    draw.beginPath();
    let last = null;
    for (const [lane, , start, took] of path) {
      if (start > from + shown) break;
      const y = TOP + lane * LANE + PATH;
      if (start + took >= from) last === start ? draw.lineTo(x(start), y) : draw.moveTo(x(start), y);
      if (start + took >= from) draw.lineTo(x(start + took), y);
      last = start + took >= from ? start + took : null;
    }
    draw.stroke();
    draw.restore();

    draw.fillStyle = colour("ink");
    font(12);
    lanes.forEach((name, lane) => draw.fillText(name, 24, TOP + lane * LANE + 18, LEFT - 30));
    draw.fillStyle = colour("line");
    draw.fillRect(LEFT, bottom, w - LEFT - RIGHT, 1);
    font(11);
    [draw.fillStyle, draw.textAlign] = [colour("faint"), "center"];
    const decimals = Math.min(Math.max(6 - Math.floor(Math.log10(step)), 0), 6);
    for (const at of ticks) draw.fillText(`${(at / 1e6).toFixed(decimals)} ms`, x(at), bottom + 19);
    draw.textAlign = "left";
  }

  /** The innermost bar there: the last that begins before. */
  function barAt(px, py) {
    const lane = Math.floor((py - TOP) / LANE), at = timeAt(px), slack = shown / width();
    if (!byLane[lane] || px < LEFT) return null;
    let found = null;
    for (const bar of visible(lane)) {
      if (bar[5] > at + slack) break;
      const [y, height] = place(bar);
      if (bar[5] + bar[6] >= at - slack && py >= y && py <= y + height) found = bar;
    }
    return found;
  }

  function describe([lane, , kind, name, stage, start, took, rows, index, critical, awaited]) {
    const words = { gc: "garbage collection", range: `range ${index}, ${rows.toLocaleString()} rows`, commit: `commit, ${rows.toLocaleString()} entities despawned` };
    const lines = [names[name], words[kind] ?? kind];
    if (stage !== null) lines.push(`stage ${stages[stage]}`);
    lines.push(`${lanes[lane]}, ${duration(took)} from ${(start / 1e6).toFixed(6)} ms on`);
    if (kind === "wait") lines[1] = awaited ?? (index ? "asleep" : "spinning");
    if (critical > 0) lines.push(`${duration(critical)} on the critical path`);
    return lines.join("\n");
  }

  function hover(event) {
    const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    const bar = barAt(px, py);
    if (bar !== hovered) show(from, shown);
    hovered = bar;
    tip.hidden = !bar;
    if (!bar) return;
    tip.textContent = describe(bar);
    tip.style.left = `${Math.min(px + 14, box.width - tip.offsetWidth - 8)}px`;
    tip.style.top = `${py + 18}px`;
  }

  let dragged = null;
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId);
    dragged = { px: event.clientX, from };
  });
  canvas.addEventListener("pointerup", () => (dragged = null));
  canvas.addEventListener("pointercancel", () => (dragged = null));
  canvas.addEventListener("pointermove", event => {
    if (dragged) show(dragged.from - (event.clientX - dragged.px) / width() * shown, shown);
    hover(event);
  });
  canvas.addEventListener("pointerleave", () => {
    [hovered, tip.hidden] = [null, true];
    show(from, shown);
  });
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    const px = event.clientX - canvas.getBoundingClientRect().left;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) show(from + event.deltaX / width() * shown, shown);
    else zoom(Math.exp(event.deltaY / 400), px);
    hover(event);
  }, { passive: false });
  canvas.addEventListener("dblclick", () => show(0, ns));

  /** Shows the frame after or before the middle of what is shown. */
  function turn(direction) {
    const middle = from + shown / 2, all = direction > 0 ? frames : frames.toReversed();
    const next = all.find(([, start, took]) => (start + took / 2 - middle) * direction > shown / 100) ?? all.at(-1);
    show(next[1] - next[2] * 0.02, next[2] * 1.04);
  }

  const keys = {
    "+": () => zoom(1 / 1.5), "=": () => zoom(1 / 1.5), ArrowUp: () => zoom(1 / 1.5),
    "-": () => zoom(1.5), ArrowDown: () => zoom(1.5),
    ArrowLeft: () => show(from - shown / 8, shown), ArrowRight: () => show(from + shown / 8, shown),
    0: () => show(0, ns), Home: () => show(0, shown), End: () => show(ns, shown),
    "[": () => turn(-1), "]": () => turn(1),
  };
  addEventListener("keydown", event => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  new ResizeObserver(() => show(from, shown)).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(from, shown));
  show(0, ns);
}
