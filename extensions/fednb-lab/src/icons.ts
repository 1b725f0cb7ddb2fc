import { LabIcon } from '@jupyterlab/ui-components';

import svgstr from '../style/icons/fednb.svg';

export const fednbIcon = new LabIcon({ name: 'fednb:icon', svgstr });
