// How many requests wait, in the status bar.

import type { IStatusBar } from '@jupyterlab/statusbar';
import { Widget } from '@lumino/widgets';

import { button } from './dom';
import type { RequestsModel } from './model';

/** Add the item; it is there where the server has a home. */
export function addStatusItem(
  bar: IStatusBar,
  model: RequestsModel,
  open: () => void
): void {
  const label = button('', { class: 'fednb-Status', 'data-fednb': 'pending-count' }, open);
  const node = document.createElement('div');
  node.append(label);
  const item = new Widget({ node });
  item.addClass('fednb-StatusItem');
  const draw = (): void => {
    const { pending } = model.requests;
    // a count that is not known, or may be old, is not shown
    const known = model.answered && !model.failure;
    label.textContent = known ? `fednb: ${pending} pending` : 'fednb: no answer';
    label.title = known
      ? `${pending || 'No'} requests wait for your decision; open the panel`
      : 'The server does not say which requests wait; open the panel';
    label.classList.toggle('fednb-mod-waiting', known && pending > 0);
  };
  draw();
  model.changed.connect(draw);
  bar.registerStatusItem('@fednb/lab:pending', {
    item,
    align: 'left',
    rank: 50,
    isActive: () => Boolean(model.homes?.homes.length),
    activeStateChanged: model.changed
  });
}
