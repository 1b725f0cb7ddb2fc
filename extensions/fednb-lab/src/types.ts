// What the server answers; see fednb/serverextension/records.py and manager.py.

export type Status = 'pending' | 'approved' | 'denied' | 'expired' | 'revoked' | 'unknown';

export interface IFailure {
  code: string;
  message: string;
  advice: string;
}

export interface IDataset {
  name: string;
  patients: number;
  modalities: string[];
  synthetic: boolean;
}

/** A home that can be used. */
export interface IOpenHome {
  id: string;
  path: string;
  name: string;
  fingerprint: string;
  profile: string;
  auto_approve: string[];
  datasets: IDataset[];
  error?: undefined;
}

/** A home that cannot be used, and why. */
export interface IBrokenHome {
  id: string;
  path: string;
  error: IFailure;
}

export type Home = IOpenHome | IBrokenHome;

export interface IHomes {
  homes: Home[];
  advice: string;
}

export interface IRequest {
  home: string;
  site: string;
  hash: string;
  status: Status;
  requester: string;
  purpose: string;
  dataset: string;
  received: string;
  expires: string;
  look: number;
}

export interface IRequests {
  requests: IRequest[];
  pending: number;
  rest: number;
  unreadable: { home: string; hash: string }[];
}

/** A page as elements and words, never as markup. */
export type PageNode = string | { tag: string; class: string; children: PageNode[] };

export interface ICard extends IRequest {
  fingerprint: string;
  note: string;
  page: PageNode[];
}

/** Names a request: the home it waits in, and the hash that a decision signs. */
export type RequestKey = Pick<IRequest, 'home' | 'hash'>;
