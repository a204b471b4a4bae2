/** A kernel connection of JupyterLab as a `Channel`, and the models of the kernels in use. */
import { type Kernel, KernelMessage, ServerConnection } from '@jupyterlab/services';

import { Cells, type Channel } from './model';
import type { Fields } from './protocol';

class KernelChannel implements Channel {
  constructor(private readonly kernel: Kernel.IKernelConnection) {}

  async ask(type: string, content: Fields): Promise<unknown> {
    const answer = this.send(type, content);
    try {
      return await (type === 'lpf_jobs_request' ? Promise.race([answer, this.proof()]) : answer);
    } catch {
      return null; // The connection was closed: the kernel is gone, or is started anew.
    }
  }

  async load(): Promise<void> {
    await this.kernel.requestExecute({ code: '%load_ext lpf', silent: true }).done;
  }

  async signal(): Promise<boolean> {
    const { serverSettings, id } = this.kernel;
    const url = `${serverSettings.baseUrl}lpf/signal/${encodeURIComponent(id)}`;
    try {
      const answer = await ServerConnection.makeRequest(url, { method: 'POST' }, serverSettings);
      return answer.ok;
    } catch {
      return false;
    }
  }

  /**
   * A kernel that does not know the type of a request does not answer at all. This one, sent behind
   * it, is answered by every kernel, and in order.
   */
  private async proof(): Promise<null> {
    await this.send('kernel_info_request', {});
    return null;
  }

  private async send(type: string, content: Fields): Promise<unknown> {
    const message = KernelMessage.createMessage<KernelMessage.IInfoRequestMsg>({
      msgType: type as 'kernel_info_request',
      channel: 'control' as 'shell',
      session: this.kernel.clientId,
      username: this.kernel.username,
      content: content as Record<string, never>
    }) as KernelMessage.IMessage as KernelMessage.IDebugRequestMsg;
    const reply = await this.kernel.sendControlMessage(message, true).done;
    return reply?.content ?? null;
  }
}

/** The model of a kernel connection, made when it is first asked for. */
export function cellsOf(kernel: Kernel.IKernelConnection): Cells {
  const known = models.get(kernel);
  if (known !== undefined) {
    return known;
  }
  const cells = new Cells(new KernelChannel(kernel));
  models.set(kernel, cells);
  follow(kernel, cells);
  return cells;
}

const models = new WeakMap<Kernel.IKernelConnection, Cells>();

function follow(kernel: Kernel.IKernelConnection, cells: Cells): void {
  kernel.iopubMessage.connect((_, message) => {
    const parent = message.parent_header as Partial<KernelMessage.IHeader>;
    cells.handle({
      type: message.header.msg_type,
      parentId: parent.msg_id ?? '',
      parentType: parent.msg_type ?? '',
      content: message.content
    });
  });
  kernel.anyMessage.connect((_, { msg, direction }) => {
    if (direction === 'send' && isCell(msg) && kernel.connectionStatus === 'connected') {
      cells.sent(msg.header.msg_id);
    } else if (direction === 'recv' && msg.header.msg_type === 'execute_reply') {
      cells.answered((msg.parent_header as KernelMessage.IHeader).msg_id);
    }
  });
  kernel.statusChanged.connect((_, status) => {
    if (['restarting', 'autorestarting', 'dead', 'terminating'].includes(status)) {
      cells.forget();
      awaitsStart = true;
    } else if (awaitsStart && (status === 'idle' || status === 'busy')) {
      awaitsStart = false;
      void probe(kernel, cells);
    }
  });
  kernel.connectionStatusChanged.connect((_, status) => {
    if (status === 'connected') {
      void probe(kernel, cells);
    } else {
      cells.forgetSent();
    }
  });
  kernel.disposed.connect(() => cells.dispose());
  let awaitsStart = false;
  if (kernel.connectionStatus === 'connected') {
    void probe(kernel, cells);
  }
}

function isCell({ header, content }: KernelMessage.IMessage): boolean {
  return header.msg_type === 'execute_request' && !(content as { silent?: boolean }).silent;
}

/** Asks a Python kernel whether it has lpf; others would log an error for nothing. */
async function probe(kernel: Kernel.IKernelConnection, cells: Cells): Promise<void> {
  try {
    const info = await kernel.info;
    if (info.language_info.name === 'python' && !kernel.isDisposed) {
      await cells.refresh();
    }
  } catch {
    // The kernel has ended meanwhile.
  }
}
