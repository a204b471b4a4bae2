import { describe, expect, it } from 'vitest';

import { parse, show, showRunning } from '../src/durations';

describe('parse', () => {
  it.each([
    ['2', 2],
    ['0.5', 0.5],
    ['500ms', 0.5],
    [' 2 s ', 2],
    ['1m30s', 90],
    ['1h 5min', 3900]
  ])('understands %j', (text, seconds) => {
    expect(parse(text)).toBeCloseTo(seconds, 9);
  });

  it.each(['', 's', '5 parsecs', '-1s', '1s!', '1 2', 'NaN', '1e400'])('refuses %j', text => {
    expect(parse(text)).toBeNull();
  });
});

describe('show', () => {
  it.each([
    [0, '0 ms'],
    [0.0512, '51.2 ms'],
    [1.25, '1.25 s'],
    [59.96, '60 s'],
    [75, '1 min 15 s'],
    [7500, '2 h 5 min']
  ])('writes %d s', (seconds, text) => {
    expect(show(seconds)).toBe(text);
  });

  it('writes whole seconds of what goes on', () => {
    expect(showRunning(3.9)).toBe('3 s');
  });
});
