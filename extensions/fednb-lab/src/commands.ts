// Commands, in the palette and for whoever calls them by name.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette, InputDialog, Notification } from '@jupyterlab/apputils';

import { failureOf } from './api';
import { RequestCard } from './card';
import { fednbIcon } from './icons';
import type { RequestsModel } from './model';
import type { RequestsPanel } from './panel';
import type { Status } from './types';

export const CommandIDs = {
  open: 'fednb:open-panel',
  refresh: 'fednb:refresh',
  approve: 'fednb:approve-selected',
  deny: 'fednb:deny-selected',
  revoke: 'fednb:revoke-selected'
} as const;

/** Add the commands. Deciding is possible only on the request that is on the page. */
export function addCommands(
  app: JupyterFrontEnd,
  model: RequestsModel,
  panel: RequestsPanel
): void {
  const { commands, shell } = app;
  const shown = (status: Status): RequestCard | null => {
    const current = shell.currentWidget;
    return current instanceof RequestCard && current.status === status ? current : null;
  };
  commands.addCommand(CommandIDs.open, {
    label: args => (args['isLauncher'] ? 'Requests' : 'Open the Panel of Requests'),
    caption: 'Read and decide on requests to this site',
    icon: fednbIcon,
    execute: () => shell.activateById(panel.id)
  });
  commands.addCommand(CommandIDs.refresh, {
    label: 'Refresh Requests',
    execute: () => model.refresh()
  });
  commands.addCommand(CommandIDs.approve, {
    label: 'Approve the Request Shown…',
    isEnabled: () => shown('pending') !== null,
    execute: () => askToApprove(shown('pending'))
  });
  commands.addCommand(CommandIDs.deny, {
    label: 'Deny the Request Shown…',
    isEnabled: () => shown('pending') !== null,
    execute: () => askToRefuse(shown('pending'), 'Deny')
  });
  commands.addCommand(CommandIDs.revoke, {
    label: 'Revoke the Request Shown…',
    isEnabled: () => shown('approved') !== null,
    execute: () => askToRefuse(shown('approved'), 'Revoke')
  });
  const restate = (): void => {
    commands.notifyCommandChanged(CommandIDs.approve);
    commands.notifyCommandChanged(CommandIDs.deny);
    commands.notifyCommandChanged(CommandIDs.revoke);
  };
  model.changed.connect(restate);
}

export function addToPalette(palette: ICommandPalette): void {
  for (const command of Object.values(CommandIDs)) {
    palette.addItem({ command, category: 'fednb' });
  }
}

async function askToApprove(card: RequestCard | null): Promise<void> {
  if (!card) {
    return;
  }
  const answer = await InputDialog.getText({
    title: `Approve request ${card.key.hash.slice(0, 12)} to ${card.site}?`,
    label: 'Note for your own records (optional)',
    okLabel: 'Approve'
  });
  if (answer.button.accept) {
    await told(card.approve(answer.value ?? ''));
  }
}

async function askToRefuse(
  card: RequestCard | null,
  verb: 'Deny' | 'Revoke'
): Promise<void> {
  if (!card) {
    return;
  }
  const answer = await InputDialog.getText({
    title: `${verb} request ${card.key.hash.slice(0, 12)} to ${card.site}?`,
    label: 'Reason, for your own records (required)',
    okLabel: verb
  });
  if (answer.button.accept) {
    const reason = answer.value ?? '';
    await told(verb === 'Deny' ? card.deny(reason) : card.revoke(reason));
  }
}

async function told(decision: Promise<void>): Promise<void> {
  await decision.catch((error: unknown) => {
    const { message, advice } = failureOf(error);
    Notification.error(`${message} ${advice}`);
  });
}
