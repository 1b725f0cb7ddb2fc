// fednb in JupyterLab: the panel of a site owner.

import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { IStatusBar } from '@jupyterlab/statusbar';

import { Api } from './api';
import { RequestCard } from './card';
import { addCommands, addToPalette, CommandIDs } from './commands';
import { RequestsModel } from './model';
import { notifyArrivals } from './notify';
import { RequestsPanel } from './panel';
import { addStatusItem } from './status';
import type { RequestKey } from './types';

const plugin: JupyterFrontEndPlugin<void> = {
  id: '@fednb/lab:plugin',
  description: "A site's pending requests, decided by its owner.",
  autoStart: true,
  optional: [ICommandPalette, ILauncher, IStatusBar, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    statusBar: IStatusBar | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const { shell } = app;
    const model = new RequestsModel(new Api(app.serviceManager.serverSettings));
    const open = (key: RequestKey): void => {
      const id = RequestCard.idOf(key);
      if (![...shell.widgets('main')].some(w => w.id === id)) {
        shell.add(new RequestCard(model, key), 'main');
      }
      shell.activateById(id);
      model.select(key);
    };
    const panel = new RequestsPanel(model, open);
    const openPanel = (): void => shell.activateById(panel.id);
    shell.add(panel, 'left', { rank: 600, type: 'fednb' });
    restorer?.add(panel, panel.id);
    addCommands(app, model, panel);
    notifyArrivals(model, open, openPanel);
    if (palette) {
      addToPalette(palette);
    }
    if (statusBar) {
      addStatusItem(statusBar, model, openPanel);
    }
    launcher?.add({
      command: CommandIDs.open,
      category: 'fednb',
      args: { isLauncher: true }
    });
    void model.start();
  }
};

export default plugin;
