import { ChangeDetectionStrategy, Component, signal } from "@angular/core";
import { injectQuery, injectWorkerModule, injectWorkerSelector, injectWorkerStatus } from "peristyle-angular";
import type { Counter } from "../counter.worker.js";
import { Position, drawn, type State } from "../page.js";

const changeDetection = ChangeDetectionStrategy.OnPush;

@Component({
  selector: "app-status",
  changeDetection,
  template: `<p id="status" [title]="status().error?.message">{{ drawn("status", status().status) }}</p>`,
})
class Status {
  readonly drawn = drawn;
  readonly status = injectWorkerStatus();
}

@Component({
  selector: "app-count",
  changeDetection,
  template: `<button id="count" (click)="counter.increase()">{{ drawn("count", count()) }}</button>`,
})
class Count {
  readonly drawn = drawn;
  readonly counter = injectWorkerModule<Counter>("counter");
  readonly count = injectWorkerSelector((state: State) => state.counter.count);
}

@Component({
  selector: "app-parity",
  changeDetection,
  template: `<p id="parity">{{ drawn("parity", parity()?.isOdd) }}</p>`,
})
class Parity {
  readonly drawn = drawn;
  readonly parity = injectWorkerSelector(
    (state: State) => ({ isOdd: state.counter.count % 2 === 1 }),
    (a, b) => a.isOdd === b.isOdd,
  );
}

@Component({
  selector: "app-ships",
  changeDetection,
  template: `<ul id="ships" [title]="drawn('ships', ships())">
    @for (ship of ships(); track ship[0]) {<li>{{ ship[1].latitude.toFixed(3) }}</li>}
  </ul>`,
})
class Ships {
  readonly drawn = drawn;
  readonly ships = injectQuery({ all: [Position] });
}

@Component({
  selector: "app-still",
  changeDetection,
  template: `<p id="still">{{ drawn("still", ships()?.length) }}</p>`,
})
class Still {
  readonly drawn = drawn;
  readonly ships = injectQuery({ all: [Position], changed: [] });
}

@Component({
  selector: "app-root",
  changeDetection,
  imports: [Status, Count, Parity, Ships, Still],
  template: `
    <button id="toggle" (click)="isShown.set(!isShown())">toggle</button>
    @if (isShown()) {<app-status /><app-count /><app-parity /><app-ships /><app-still />}
  `,
})
export class App {
  readonly isShown = signal(true);
}
