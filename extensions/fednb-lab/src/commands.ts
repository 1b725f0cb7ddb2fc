// Commands, in the palette and for whoever calls them by name.

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette, InputDialog, Notification } from '@jupyterlab/apputils';

import { failureOf } from './api';
import { RequestCard } from './card';
import { fednbIcon } from './icons';
import type { RequestsModel } from './model';
import type { RequestsPanel } from './panel';

export const CommandIDs = {
  open: 'fednb:open-panel',
  refresh: 'fednb:refresh',
  approve: 'fednb:approve-selected',
  deny: 'fednb:deny-selected'
} as const;

/** Add the commands. Deciding is possible only on the request that is on the page. */
export function addCommands(
  app: JupyterFrontEnd,
  model: RequestsModel,
  panel: RequestsPanel
): void {
  const { commands, shell } = app;
  const shown = (): RequestCard | null => {
    const current = shell.currentWidget;
    return current instanceof RequestCard && current.status === 'pending' ? current : null;
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
    isEnabled: () => shown() !== null,
    execute: () => askToApprove(shown())
  });
  commands.addCommand(CommandIDs.deny, {
    label: 'Deny the Request Shown…',
    isEnabled: () => shown() !== null,
    execute: () => askToDeny(shown())
  });
  const restate = (): void => {
    commands.notifyCommandChanged(CommandIDs.approve);
    commands.notifyCommandChanged(CommandIDs.deny);
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

async function askToDeny(card: RequestCard | null): Promise<void> {
  if (!card) {
    return;
  }
  const answer = await InputDialog.getText({
    title: `Deny request ${card.key.hash.slice(0, 12)} to ${card.site}?`,
    label: 'Reason, for your own records (required)',
    okLabel: 'Deny'
  });
  if (answer.button.accept) {
    await told(card.deny(answer.value ?? ''));
  }
}

async function told(decision: Promise<void>): Promise<void> {
  await decision.catch((error: unknown) => {
    const { message, advice } = failureOf(error);
    Notification.error(`${message} ${advice}`);
  });
}
