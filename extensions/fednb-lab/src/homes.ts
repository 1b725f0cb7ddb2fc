// A home in the panel: its name, its datasets, and how strict it is.

import { make, trouble } from './dom';
import type { Home, IDataset, IOpenHome } from './types';

const PROFILES: Record<string, string> = {
  standard: 'Small groups and exact counts stay here.',
  'rare-disease': 'For small cohorts: a lower threshold, rounded counts.',
  open: 'Exact values leave. For public or synthetic data only.'
};

/** Show a home, or what is wrong with it. */
export function homeSection(home: Home): HTMLElement {
  const node = make('section', { class: 'fednb-Home', 'data-fednb': 'home', 'data-home': home.id });
  const path = make('p', { class: 'fednb-muted fednb-path' }, home.path);
  if (home.error) {
    node.append(trouble(home.error), path);
    return node;
  }
  node.append(title(home), ...warnings(home), datasets(home.datasets), key(home), path);
  return node;
}

function title(home: IOpenHome): HTMLElement {
  const hint = PROFILES[home.profile] ?? '';
  const tone = home.profile === 'open' ? 'wait' : 'good';
  const profile = make(
    'span',
    { class: `fednb-badge ${tone}`, title: hint, 'data-fednb': 'profile' },
    `${home.profile} profile`
  );
  return make('h3', { class: 'fednb-Home-title' }, make('span', {}, home.name), profile);
}

function warnings(home: IOpenHome): HTMLElement[] {
  const kinds = home.auto_approve;
  if (!kinds.length) {
    return [];
  }
  const what = kinds.includes('all')
    ? 'Every request is'
    : `Requests for ${kinds.join(', ')} are`;
  const words = `${what} approved by the policy, without a decision by hand.`;
  return [make('p', { class: 'fednb-look' }, words)];
}

function datasets(every: IDataset[]): HTMLElement {
  if (!every.length) {
    const hint = 'No dataset yet. Register one with `fednb site add-dataset`.';
    return make('p', { class: 'fednb-muted' }, hint);
  }
  return make(
    'ul',
    { class: 'fednb-datasets' },
    ...every.map(dataset => {
      const { patients, modalities, synthetic } = dataset;
      const facts = [
        `${patients} ${patients === 1 ? 'patient' : 'patients'}`,
        ...(modalities.length ? [modalities.join(', ')] : []),
        ...(synthetic ? ['synthetic'] : [])
      ];
      const name = make('span', {}, dataset.name);
      const muted = make('span', { class: 'fednb-muted' }, facts.join(' · '));
      return make('li', { 'data-fednb': 'dataset' }, name, muted);
    })
  );
}

function key(home: IOpenHome): HTMLElement {
  const summary = make('summary', {}, 'Fingerprint of this site\'s keys');
  return make('details', {}, summary, make('code', {}, home.fingerprint));
}
