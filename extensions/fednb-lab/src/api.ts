// The routes of fednb's server extension.

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { ICard, IFailure, IHomes, IRequests, RequestKey } from './types';

/** An error as the server words it: what did not work, and what to do. */
export class ServerFailure extends Error {
  constructor(readonly failure: IFailure) {
    super(failure.message);
  }
}

const UNREACHABLE: IFailure = {
  code: 'unreachable',
  message: 'The Jupyter server does not answer.',
  advice: 'What is shown may be old. Check that the server runs; this page asks again by itself.'
};

const NOT_INSTALLED: IFailure = {
  code: 'not-installed',
  message: "This Jupyter server does not run fednb's extension.",
  advice: 'Run `jupyter server extension enable fednb.serverextension`, and restart JupyterLab.'
};

export class Api {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  homes(): Promise<IHomes> {
    return this.ask<IHomes>('homes');
  }

  requests(): Promise<IRequests> {
    return this.ask<IRequests>('requests');
  }

  request(key: RequestKey): Promise<ICard> {
    return this.ask<ICard>(address(key));
  }

  approve(key: RequestKey, note: string): Promise<ICard> {
    return this.ask<ICard>(`${address(key)}/approve`, { note });
  }

  deny(key: RequestKey, reason: string): Promise<ICard> {
    return this.ask<ICard>(`${address(key)}/deny`, { reason });
  }

  revoke(key: RequestKey, reason: string): Promise<ICard> {
    return this.ask<ICard>(`${address(key)}/revoke`, { reason });
  }

  private async ask<T>(path: string, body?: object): Promise<T> {
    const url = URLExt.join(this.settings.baseUrl, 'fednb', path);
    const init = body ? { method: 'POST', body: JSON.stringify(body) } : {};
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch {
      throw new ServerFailure(UNREACHABLE);
    }
    const answer: unknown = await response.json().catch(() => null);
    if (response.ok && answer !== null) {
      return answer as T;
    }
    throw new ServerFailure(failureIn(answer));
  }
}

function address({ home, hash }: RequestKey): string {
  return `homes/${home}/requests/${hash}`;
}

function failureIn(answer: unknown): IFailure {
  const error = (answer as { error?: IFailure } | null)?.error;
  // any other answer is not of our extension
  return typeof error?.message === 'string' ? error : NOT_INSTALLED;
}

/** What to show for whatever was thrown. */
export function failureOf(error: unknown): IFailure {
  return error instanceof ServerFailure ? error.failure : UNREACHABLE;
}
