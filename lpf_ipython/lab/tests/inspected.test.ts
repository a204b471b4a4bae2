import { describe, expect, it } from 'vitest';

import { asValue, typesShown } from '../src/inspected';

function types(...children: [type: string, value: string][]): string[] {
  const items = children.map(([type, value], index) => ({ index, name: `[${index}]`, type, value }));
  return typesShown(asValue({ type: 'list', value: '', children: items })!.children);
}

describe('the types beside values', () => {
  it('are not shown where all items have the same', () => {
    expect(types(['int', '1'], ['int', '2'])).toEqual(['', '']);
    expect(types(['int', '1'], ['str', "'a'"])).toEqual(['int', 'str']);
    expect(types(['int', '1'])).toEqual(['int']);
  });

  it('are not shown where the value begins with it', () => {
    expect(types(['ndarray', 'ndarray int64 3'], ['int', '1'])).toEqual(['', 'int']);
  });

  it('are shown of each variable', () => {
    const variable = { index: null, name: 'n', type: 'int', value: '1', expandable: false };
    expect(typesShown([variable, variable])).toEqual(['int', 'int']);
  });
});
